//! Spec v0.2.1, "gRPC calls".

use super::{bounded, fields};
use crate::abi::Status;
use crate::host::{GrpcCall, Host};
use crate::memory::{Guest, Result};
use crate::pairs::PairsBuf;
use crate::wasm::memory::{GuestBytes, LinearMemory};

hostcalls! {
    "proxy_grpc_call" (
        upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32, method_size: u32,
        metadata: u32, metadata_size: u32, message: u32, message_size: u32, timeout_ms: u32, return_call_id: u32
    ) => grpc_call(
        Target {
            upstream: GuestBytes { address: upstream, size: upstream_size },
            service: GuestBytes { address: service, size: service_size },
            method: GuestBytes { address: method, size: method_size },
            metadata: GuestBytes { address: metadata, size: metadata_size },
        },
        GuestBytes { address: message, size: message_size },
        timeout_ms,
        return_call_id
    );
    "proxy_grpc_stream" (
        upstream: u32, upstream_size: u32, service: u32, service_size: u32, method: u32, method_size: u32,
        metadata: u32, metadata_size: u32, return_stream_id: u32
    ) => grpc_stream(
        Target {
            upstream: GuestBytes { address: upstream, size: upstream_size },
            service: GuestBytes { address: service, size: service_size },
            method: GuestBytes { address: method, size: method_size },
            metadata: GuestBytes { address: metadata, size: metadata_size },
        },
        return_stream_id
    );
    "proxy_grpc_send" (id: u32, address: u32, size: u32, end_of_stream: i32)
        => grpc_send(id, GuestBytes { address, size }, end_of_stream != 0);
    "proxy_grpc_cancel" (id: u32) => grpc_cancel(id);
    "proxy_grpc_close" (id: u32) => grpc_close(id);
}

/// The server, service and method of a call, as the guest passes them.
struct Target {
    upstream: GuestBytes,
    service: GuestBytes,
    method: GuestBytes,
    metadata: GuestBytes,
}

impl Target {
    fn read<'a>(&self, memory: &'a LinearMemory<'_>, changed: &'a mut PairsBuf) -> Result<GrpcCall<'a>> {
        let metadata = fields::check_metadata(bounded::map(memory, self.metadata)?, changed)?;
        let name = |name| bounded::name(memory, name, Status::BadArgument);
        Ok(GrpcCall {
            upstream: name(self.upstream)?,
            service: name(self.service)?,
            method: name(self.method)?,
            metadata,
        })
    }
}

fn grpc_call<H: Host>(
    guest: &mut Guest<'_, H>,
    target: Target,
    message: GuestBytes,
    timeout_ms: u32,
    return_call_id: u32,
) -> Result {
    guest.check(return_call_id, 4)?;
    guest.state().obstruct("it called a server while it started");
    let (memory, state) = guest.split();
    let mut changed = PairsBuf::new();
    let (call, message) = (target.read(&memory, &mut changed)?, memory.bytes(message)?);
    let id = if state.is_rehearsal() {
        state.unmade_call()
    } else {
        let (host, origin) = state.host_and_origin();
        let id = host.grpc_call(origin, call, message, timeout_ms)?;
        host.call_started();
        id
    };
    guest.write_u32(return_call_id, id)
}

fn grpc_stream<H: Host>(guest: &mut Guest<'_, H>, target: Target, return_stream_id: u32) -> Result {
    guest.check(return_stream_id, 4)?;
    guest.state().obstruct("it called a server while it started");
    let (memory, state) = guest.split();
    let mut changed = PairsBuf::new();
    let call = target.read(&memory, &mut changed)?;
    let id = if state.is_rehearsal() {
        state.unmade_call()
    } else {
        let (host, origin) = state.host_and_origin();
        let id = host.grpc_stream(origin, call)?;
        host.call_started();
        id
    };
    guest.write_u32(return_stream_id, id)
}

fn grpc_send<H: Host>(guest: &mut Guest<'_, H>, id: u32, message: GuestBytes, end_of_stream: bool) -> Result {
    if guest.state().is_rehearsal() {
        return Ok(());
    }
    let (memory, state) = guest.split();
    let message = memory.bytes(message)?;
    let (host, origin) = state.host_and_origin();
    Ok(host.grpc_send(origin, id, message, end_of_stream)?)
}

fn grpc_cancel<H: Host>(guest: &mut Guest<'_, H>, id: u32) -> Result {
    if guest.state().is_rehearsal() {
        return Ok(());
    }
    let (host, origin) = guest.state().host_and_origin();
    Ok(host.grpc_cancel(origin, id)?)
}

fn grpc_close<H: Host>(guest: &mut Guest<'_, H>, id: u32) -> Result {
    if guest.state().is_rehearsal() {
        return Ok(());
    }
    let (host, origin) = guest.state().host_and_origin();
    Ok(host.grpc_close(origin, id)?)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    fn target(probe: &mut Probe) -> Vec<u32> {
        [probe.put("upstream"), probe.put("echo.Echo"), probe.put("Say"), [0, 0]].concat()
    }

    #[test]
    fn a_unary_call_has_a_message() {
        let mut probe = Probe::new();
        let (target, message) = (target(&mut probe), probe.put("hello"));
        let arguments = [&target[..], &message, &[1000, OUT]].concat();
        assert_eq!(probe.call("proxy_grpc_call", &arguments), Status::Ok);
        let made = &probe.host.worker().calls[0];
        assert_eq!((&made.target[..], &made.body[..], made.context), (&b"echo.Echo/Say"[..], &b"hello"[..], 2));
    }

    #[test]
    fn a_stream_is_sent_to_and_closed() {
        let mut probe = Probe::new();
        let arguments = [&target(&mut probe)[..], &[OUT]].concat();
        assert_eq!(probe.call("proxy_grpc_stream", &arguments), Status::Ok);
        let (id, message) = (probe.number(OUT), probe.put("hello"));
        assert_eq!(probe.call("proxy_grpc_send", &[id, message[0], message[1], 0]), Status::Ok);
        assert_eq!(probe.call("proxy_grpc_send", &[id, message[0], message[1], 1]), Status::Ok);
        assert_eq!(probe.host.worker().calls[0].body, b"hellohello");
        assert_eq!(probe.call("proxy_grpc_close", &[id]), Status::NotFound);
        assert_eq!(probe.call("proxy_grpc_cancel", &[7]), Status::NotFound);
    }

    #[test]
    fn metadata_is_checked_like_headers() {
        let mut probe = Probe::new();
        let mut arguments = target(&mut probe);
        arguments[6..].copy_from_slice(&probe.put(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0\n\0"));
        arguments.push(OUT);
        assert_eq!(probe.call("proxy_grpc_stream", &arguments), Status::BadArgument);
        assert!(probe.host.worker().calls.is_empty());
    }
}
