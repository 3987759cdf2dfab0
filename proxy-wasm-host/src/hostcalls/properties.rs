//! Spec v0.2.1, "Properties".

use super::bounded;
use crate::abi::Status;
use crate::host::{Host, Properties};
use crate::identity::Identity;
use crate::limits;
use crate::memory::{Guest, Result, ReturnBytes};
use crate::property::PropertyPath;
use crate::wasm::memory::{GuestBytes, LinearMemory};

hostcalls! {
    "proxy_get_property" (path: u32, path_size: u32, data: u32, size: u32)
        => get_property(GuestBytes { address: path, size: path_size }, ReturnBytes { data, size });
    "proxy_set_property" (path: u32, path_size: u32, value: u32, value_size: u32)
        => set_property(
            GuestBytes { address: path, size: path_size },
            GuestBytes { address: value, size: value_size }
        );
}

fn get_property<H: Host>(guest: &mut Guest<'_, H>, path: GuestBytes, out: ReturnBytes) -> Result {
    guest.give_copy(out, |value, memory, state| {
        let path = property_path(&memory, path)?;
        match own_property(state.own_plugin(), path) {
            Some(own) => value.extend_from_slice(own),
            None => {
                let of_request = match state.contexts.effective_stream_mut() {
                    Some(stream) => stream.property(path)?,
                    None => None,
                };
                if let Some(found) = of_request {
                    value.extend_from_slice(&found);
                    return Ok(());
                }
                value.extend_from_slice(&state.plugin.node.property(path).ok_or(Status::NotFound)?);
            }
        }
        Ok(())
    })
}

fn set_property<H: Host>(guest: &mut Guest<'_, H>, path: GuestBytes, value: GuestBytes) -> Result {
    let (memory, state) = guest.split();
    let path = property_path(&memory, path)?;
    let value = memory.bytes(value)?;
    if !state.declared_properties.is_empty() {
        let key = (state.contexts.origin().plugin_context, path.as_bytes().to_vec());
        let is_read_only = state.declared_properties.get(&key) == Some(&true);
        if is_read_only && state.stream()?.property(path)?.is_some() {
            return Err(Status::BadArgument.into());
        }
    }
    Ok(state.stream()?.set_property(path, value)?)
}

/// A path longer than the limit is refused: no property has a path that long.
fn property_path<'a>(memory: &'a LinearMemory<'_>, path: GuestBytes) -> Result<PropertyPath<'a>> {
    let path = bounded::bytes(memory, path, limits::PROPERTY_PATH, Status::NotFound)?;
    Ok(PropertyPath::new(path))
}

/// Properties of the plugin itself, which it can read with or without a request.
fn own_property<'a>(plugin: &'a Identity, path: PropertyPath<'_>) -> Option<&'a [u8]> {
    match path.as_bytes() {
        b"plugin_name" => Some(plugin.name.as_bytes()),
        b"plugin_root_id" => Some(plugin.root_id.as_str().as_bytes()),
        b"plugin_vm_id" => Some(plugin.vm_id.as_bytes()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::probe::Probe;

    fn get(probe: &mut Probe, path: &str) -> std::result::Result<Vec<u8>, Status> {
        let [address, size] = probe.put(path);
        probe.get("proxy_get_property", &[address, size])
    }

    #[test]
    fn a_plugin_knows_itself_without_a_request() {
        for mut probe in [Probe::new(), Probe::without_request()] {
            assert_eq!(get(&mut probe, "plugin_name"), Ok(b"probe".to_vec()));
            assert_eq!(get(&mut probe, "plugin_root_id"), Ok(b"root".to_vec()));
            assert_eq!(get(&mut probe, "plugin_root_id\0"), Ok(b"root".to_vec()));
            assert_eq!(get(&mut probe, "plugin_vm_id"), Ok(b"vm".to_vec()));
        }
    }

    #[test]
    fn other_properties_are_the_requests() {
        let mut probe = Probe::new();
        let (path, value) = (probe.put("request\0path\0"), probe.put("/t"));
        assert_eq!(probe.call("proxy_set_property", &[path[0], path[1], value[0], value[1]]), Status::Ok);
        assert_eq!(get(&mut probe, "request\0path"), Ok(b"/t".to_vec()));
        assert_eq!(get(&mut probe, "request\0query"), Err(Status::NotFound));
        assert_eq!(get(&mut Probe::without_request(), "request\0path"), Err(Status::NotFound));
    }
}
