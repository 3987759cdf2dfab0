//! Spec v0.2.1, "Foreign function interface": the functions that any host can offer. Others are the
//! embedder's.

mod compression;
mod envoy;
mod shared_data;

use super::bounded;
use crate::abi::Status;
use crate::host::{self, Host};
use crate::memory::{Guest, Result};
use crate::state::VmState;
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_call_foreign_function" (
        name: u32, name_size: u32, arguments: u32, arguments_size: u32, return_results: u32, return_size: u32
    ) => call_foreign_function(
        GuestBytes { address: name, size: name_size },
        GuestBytes { address: arguments, size: arguments_size },
        return_results,
        return_size
    );
}

/// Results are optional: for each of the two addresses, 0 means "not wanted".
fn call_foreign_function<H: Host>(
    guest: &mut Guest<'_, H>,
    name: GuestBytes,
    arguments: GuestBytes,
    return_results: u32,
    return_size: u32,
) -> Result {
    for address in [return_results, return_size] {
        if address != 0 {
            guest.check(address, 4)?;
        }
    }
    guest.state().obstruct("it called a foreign function while it started");
    let (memory, state) = guest.split();
    let (name, arguments) = (bounded::name(&memory, name, Status::NotFound)?, memory.bytes(arguments)?);
    let results = call(state, name, arguments)?;
    if return_results != 0 {
        let given = guest.allocate(results.len())?;
        guest.split().0.bytes_mut(given)?.copy_from_slice(&results);
        guest.write_u32(return_results, given.address)?;
    }
    match return_size {
        0 => Ok(()),
        _ => guest.write_u32(return_size, results.len() as u32),
    }
}

fn call<H: Host>(state: &mut VmState<H>, name: &[u8], arguments: &[u8]) -> host::Result<Vec<u8>> {
    match name {
        b"compress" => compression::compress(arguments),
        b"uncompress" => compression::uncompress(arguments),
        b"declare_property" => envoy::declare_property(state, arguments),
        b"set_envoy_filter_state" => envoy::set_filter_state(state, arguments),
        b"sign" => envoy::sign(&state.host, arguments),
        b"verify_signature" => envoy::verify_signature(&state.host, arguments),
        // Higress's.
        b"get_log_level" => {
            let (host, stream) = state.host_and_stream();
            Ok((host.log_level(stream) as u32).to_le_bytes().into())
        }
        b"set_global_max_requests_per_io_cycle" if arguments.len() == size_of::<u64>() => Ok(Vec::new()),
        b"set_global_max_requests_per_io_cycle" => Err(Status::BadArgument),
        // This host's own.
        b"shared_data_delete" => shared_data::delete(state, arguments),
        b"shared_data_keys" => shared_data::keys(state, arguments),
        b"shared_data_set_with_ttl" => shared_data::set_with_ttl(state, arguments),
        _ => {
            let (host, origin) = state.host_and_origin();
            host.call_foreign_function(origin, name, arguments)
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    fn call(probe: &mut Probe, name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
        let call = [probe.put(name), probe.put(arguments)].concat();
        probe.get("proxy_call_foreign_function", &call)
    }

    #[test]
    fn shared_data_is_listed_and_deleted() {
        let mut probe = Probe::without_request();
        for key in ["a1", "a2", "b"] {
            let argument = [&5u64.to_le_bytes()[..], &[0; 4], &(key.len() as u32).to_le_bytes(), key.as_bytes(), b"v"];
            assert_eq!(call(&mut probe, "shared_data_set_with_ttl", &argument.concat()), Ok(Vec::new()));
        }
        let with_a = [&[0; 8][..], b"a"].concat();
        let listed = b"\0\0\0\0\0\0\0\0\x02\0\0\0a1\x02\0\0\0a2".to_vec();
        assert_eq!(call(&mut probe, "shared_data_keys", &with_a), Ok(listed));
        assert_eq!(call(&mut probe, "shared_data_delete", b"a1"), Ok(Vec::new()));
        assert_eq!(call(&mut probe, "shared_data_delete", b"a1"), Err(Status::NotFound));
        assert_eq!(call(&mut probe, "shared_data_keys", b"").map(|keys| keys.len()), Ok(8 + 6 + 5));
        for wrong in [&b"short"[..], &[0; 16], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]] {
            assert_eq!(call(&mut probe, "shared_data_set_with_ttl", wrong), Err(Status::BadArgument));
        }
        assert_eq!(call(&mut probe, "shared_data_keys", b"short"), Err(Status::BadArgument));
    }

    #[test]
    fn a_property_that_is_read_only_is_set_once() {
        let mut probe = Probe::new();
        let set = |probe: &mut Probe, path: &str| {
            let call = [probe.put(path), probe.put("v")].concat();
            probe.call("proxy_set_property", &call)
        };
        assert_eq!(call(&mut probe, "declare_property", b"\x0a\x01a\x10\x01"), Ok(Vec::new()));
        assert_eq!(call(&mut probe, "declare_property", b"\x0a\x01a"), Err(Status::BadArgument));
        assert_eq!(call(&mut probe, "declare_property", b"\x0a\x01b"), Ok(Vec::new()));
        assert_eq!([set(&mut probe, "a"), set(&mut probe, "a")], [Status::Ok, Status::BadArgument]);
        assert_eq!([set(&mut probe, "b"), set(&mut probe, "b")], [Status::Ok, Status::Ok]);
    }

    #[test]
    fn filter_state_is_a_property() {
        let mut probe = Probe::new();
        assert_eq!(call(&mut probe, "set_envoy_filter_state", b"\x0a\x01k\x12\x01v"), Ok(Vec::new()));
        let [address, size] = probe.put("filter_state\0k");
        assert_eq!(probe.get("proxy_get_property", &[address, size]), Ok(b"v".to_vec()));
        assert_eq!(call(&mut probe, "set_envoy_filter_state", b""), Err(Status::NotFound));
        assert_eq!(call(&mut probe, "set_envoy_filter_state", b"x"), Err(Status::BadArgument));
        let argument = b"\x0a\x01k\x12\x01v";
        assert_eq!(call(&mut Probe::without_request(), "set_envoy_filter_state", argument), Err(Status::NotFound));
    }

    #[test]
    fn a_key_has_one_form() {
        let mut probe = Probe::new();
        for wrong in [&b""[..], b"x", b"\x0a\x06sha256", b"\x12\x01k\x2a\x01k"] {
            assert_eq!(call(&mut probe, "verify_signature", wrong), Err(Status::BadArgument));
        }
        assert_eq!(call(&mut probe, "sign", b"\x12\x01k\x22\x01k"), Err(Status::BadArgument));
    }

    #[test]
    fn a_function_is_called_by_name() {
        let mut probe = Probe::new();
        let (name, arguments, other) = (probe.put("echo"), probe.put("hello"), probe.put("other"));
        let call = [name, arguments].concat();
        assert_eq!(probe.get("proxy_call_foreign_function", &call), Ok(b"hello".to_vec()));
        assert_eq!(probe.get("proxy_call_foreign_function", &[other, arguments].concat()), Err(Status::NotFound));
        assert_eq!(probe.host.worker().echoes, [(2, b"hello".to_vec())]);
    }

    #[test]
    fn results_need_not_be_wanted() {
        let mut probe = Probe::new();
        let call = [probe.put("echo"), probe.put("hello")].concat();
        assert_eq!(probe.call("proxy_call_foreign_function", &[&call[..], &[0, 0]].concat()), Status::Ok);
        assert_eq!(probe.call("proxy_call_foreign_function", &[&call[..], &[0, OUT]].concat()), Status::Ok);
        assert_eq!(probe.number(OUT), 5);
    }
}
