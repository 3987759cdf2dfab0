//! The servers that requests go to, and bytes for a response's body: an extension of the ABI,
//! proxy-wasm-cpp-host of Higress, `exports.cc`.

use super::bounded;
use crate::abi::Status;
use crate::host::{Host, StreamControl, Upstreams};
use crate::limits::{ADDRESS, MAP};
use crate::memory::{Guest, Result, ReturnBytes};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_get_upstream_hosts" (data: u32, size: u32) => get_upstream_hosts(ReturnBytes { data, size });
    "proxy_set_upstream_override_host" (address: u32, size: u32)
        => set_upstream_override_host(GuestBytes { address, size });
    "proxy_inject_encoded_data_to_filter_chain" (body: u32, size: u32, end_of_stream: i32)
        => inject_encoded_data_to_filter_chain(GuestBytes { address: body, size }, end_of_stream != 0);
}

/// A serialized map: each server's address, with a JSON object that describes it.
fn get_upstream_hosts<H: Host>(guest: &mut Guest<'_, H>, out: ReturnBytes) -> Result {
    guest.give_copy(out, |value, _, state| {
        value.extend_from_slice(&state.stream()?.upstream_hosts()?.to_bytes());
        Ok(())
    })
}

fn set_upstream_override_host<H: Host>(guest: &mut Guest<'_, H>, address: GuestBytes) -> Result {
    let (memory, state) = guest.split();
    let address = bounded::bytes(&memory, address, ADDRESS, Status::BadArgument)?;
    Ok(state.stream()?.override_upstream_host(address)?)
}

fn inject_encoded_data_to_filter_chain<H: Host>(
    guest: &mut Guest<'_, H>,
    body: GuestBytes,
    end_of_stream: bool,
) -> Result {
    let (memory, state) = guest.split();
    let body = bounded::bytes(&memory, body, MAP, Status::BadArgument)?;
    Ok(state.stream()?.inject_response_body(body, end_of_stream)?)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::limits::ADDRESS;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn servers_are_listed_and_one_is_chosen() {
        let mut probe = Probe::new();
        assert_eq!(probe.call("proxy_get_upstream_hosts", &[OUT, OUT + 4]), Status::NotFound);
        probe.stream.request().upstream_hosts = vec![(b"10.0.0.1:80".to_vec(), b"{}".to_vec())];
        let listed = probe.get("proxy_get_upstream_hosts", &[]);
        assert_eq!(listed, Ok(b"\x01\0\0\0\x0b\0\0\0\x02\0\0\x0010.0.0.1:80\0{}\0".to_vec()));
        let address = probe.put("10.0.0.1:80");
        assert_eq!(probe.call("proxy_set_upstream_override_host", &address), Status::Ok);
        assert_eq!(probe.stream.request().override_host.as_deref(), Some(&b"10.0.0.1:80"[..]));
        let long = probe.put("a".repeat(ADDRESS + 1));
        assert_eq!(probe.call("proxy_set_upstream_override_host", &long), Status::BadArgument);
        let mut probe = Probe::without_request();
        assert_eq!(probe.call("proxy_get_upstream_hosts", &[OUT, OUT + 4]), Status::NotFound);
        assert_eq!(probe.call("proxy_set_upstream_override_host", &[0, 0]), Status::NotFound);
    }

    #[test]
    fn bytes_are_injected() {
        let mut probe = Probe::new();
        let [address, size] = probe.put("data");
        for end in [0, 1] {
            let arguments = [address, size, end];
            assert_eq!(probe.call("proxy_inject_encoded_data_to_filter_chain", &arguments), Status::Ok);
        }
        assert_eq!(probe.stream.request().injected, [(b"data".to_vec(), false), (b"data".to_vec(), true)]);
        let mut probe = Probe::without_request();
        assert_eq!(probe.call("proxy_inject_encoded_data_to_filter_chain", &[0, 0, 1]), Status::NotFound);
    }
}
