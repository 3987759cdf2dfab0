//! Spec v0.2.1, "HTTP": a plugin answers a request in place of the upstream.

use super::{bounded, fields};
use crate::abi::Status;
use crate::host::{Host, LocalResponse, Response};
use crate::memory::{Guest, Result};
use crate::pairs::PairsBuf;
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_send_local_response" (
        status: u32, details: u32, details_size: u32, body: u32, body_size: u32, headers: u32, headers_size: u32,
        grpc_status: i32
    ) => send_local_response(
        status,
        GuestBytes { address: details, size: details_size },
        GuestBytes { address: body, size: body_size },
        GuestBytes { address: headers, size: headers_size },
        grpc_status
    )
    // The name before v0.2.0 was final; APISIX's C module still defines it.
    also "proxy_send_http_response";
}

/// Checks all arguments before the host gets any of them: half a response must not be sent.
fn send_local_response<H: Host>(
    guest: &mut Guest<'_, H>,
    status: u32,
    details: GuestBytes,
    body: GuestBytes,
    headers: GuestBytes,
    grpc_status: i32,
) -> Result {
    let (memory, state) = guest.split();
    let mut changed = PairsBuf::new();
    let response = Response {
        status,
        details: memory.bytes(details)?,
        body: memory.bytes(body)?,
        headers: fields::check_all(bounded::map(&memory, headers)?, &mut changed)?,
        grpc_status,
    };
    let stream = state.stream().map_err(|_| Status::BadArgument)?;
    Ok(stream.send_local_response(response)?)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::SentResponse;
    use crate::local::probe::Probe;

    fn send(probe: &mut Probe, headers: &[u8]) -> Status {
        let (details, body, headers) = (probe.put("why"), probe.put("body"), probe.put(headers));
        let slices = [details, body, headers].concat();
        probe.call("proxy_send_local_response", &[&[403][..], &slices, &[u32::MAX]].concat())
    }

    #[test]
    fn a_response_arrives_whole() {
        let mut probe = Probe::new();
        assert_eq!(send(&mut probe, b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0b\0"), Status::Ok);
        let sent = SentResponse {
            status: 403,
            details: b"why".to_vec(),
            body: b"body".to_vec(),
            headers: vec![(b"a".to_vec(), b"b".to_vec())],
            grpc_status: -1,
        };
        assert_eq!(probe.stream.request().local_response, Some(sent));
    }

    #[test]
    fn a_response_with_a_bad_header_is_not_sent() {
        let mut probe = Probe::new();
        assert_eq!(send(&mut probe, b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0\r\0"), Status::BadArgument);
        assert_eq!(send(&mut probe, b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0b\0"), Status::BadArgument);
        assert_eq!(probe.stream.request().local_response, None);
    }

    #[test]
    fn without_a_request_nobody_can_be_answered() {
        assert_eq!(send(&mut Probe::without_request(), b""), Status::BadArgument);
    }
}
