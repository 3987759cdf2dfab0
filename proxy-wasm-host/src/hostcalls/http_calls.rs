//! Spec v0.2.1, "HTTP calls".

use super::{bounded, fields};
use crate::abi::Status;
use crate::host::{Host, HttpCall};
use crate::memory::{Guest, Result};
use crate::pairs::PairsBuf;
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_http_call" (
        upstream: u32, upstream_size: u32, headers: u32, headers_size: u32, body: u32, body_size: u32,
        trailers: u32, trailers_size: u32, timeout_ms: u32, return_call_id: u32
    ) => http_call(
        GuestBytes { address: upstream, size: upstream_size },
        GuestBytes { address: headers, size: headers_size },
        GuestBytes { address: body, size: body_size },
        GuestBytes { address: trailers, size: trailers_size },
        timeout_ms,
        return_call_id
    );
}

fn http_call<H: Host>(
    guest: &mut Guest<'_, H>,
    upstream: GuestBytes,
    headers: GuestBytes,
    body: GuestBytes,
    trailers: GuestBytes,
    timeout_ms: u32,
    return_call_id: u32,
) -> Result {
    guest.check(return_call_id, 4)?;
    guest.state().obstruct("it called a server while it started");
    let (memory, state) = guest.split();
    let (mut headers_changed, mut trailers_changed) = (PairsBuf::new(), PairsBuf::new());
    let call = HttpCall {
        upstream: bounded::name(&memory, upstream, Status::BadArgument)?,
        headers: fields::check_all(bounded::map(&memory, headers)?, &mut headers_changed)?,
        body: memory.bytes(body)?,
        trailers: fields::check_all(bounded::map(&memory, trailers)?, &mut trailers_changed)?,
        timeout_ms,
    };
    let id = if state.is_rehearsal() {
        state.unmade_call()
    } else {
        let (host, origin) = state.host_and_origin();
        let id = host.http_call(origin, call)?;
        host.call_started();
        id
    };
    guest.write_u32(return_call_id, id)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    fn call(probe: &mut Probe, upstream: &str, headers: &[u8]) -> Status {
        let (upstream, headers, body) = (probe.put(upstream), probe.put(headers), probe.put("body"));
        probe.call("proxy_http_call", &[&[upstream, headers, body, [0, 0]].concat()[..], &[1000, OUT]].concat())
    }

    #[test]
    fn a_call_knows_its_caller() {
        for (mut probe, context) in [(Probe::new(), 2), (Probe::without_request(), 1)] {
            assert_eq!(call(&mut probe, "first:80", b""), Status::Ok);
            assert_eq!(call(&mut probe, "second:80", b"\x01\0\0\0\x05\0\0\0\x02\0\0\0:path\0/t\0"), Status::Ok);
            assert_eq!(probe.number(OUT), 1);
            let made = &probe.host.worker().calls[1];
            assert_eq!((made.plugin_context, made.context), (1, context));
            assert_eq!(
                (&made.upstream[..], &made.target[..], &made.body[..]),
                (&b"second:80"[..], &b"/t"[..], &b"body"[..])
            );
        }
    }

    #[test]
    fn a_call_with_a_bad_header_is_not_made() {
        let mut probe = Probe::new();
        assert_eq!(call(&mut probe, "upstream", b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0\n\0"), Status::BadArgument);
        assert_eq!(call(&mut probe, "", b""), Status::BadArgument);
        assert!(probe.host.worker().calls.is_empty());
    }
}
