//! Spec v0.2.1, "HTTP calls".

use wasmtime::Linker;

use super::fields;
use crate::proxy_wasm::host::{Host, HttpCall, HttpCalls};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::pairs::Pairs;
use crate::proxy_wasm::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
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
    Ok(())
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
    let (memory, state) = guest.split();
    let (headers, trailers) = (memory.bytes(headers)?, memory.bytes(trailers)?);
    let call = HttpCall {
        upstream: memory.bytes(upstream)?,
        headers: Pairs::parse(headers)?,
        body: memory.bytes(body)?,
        trailers: Pairs::parse(trailers)?,
        timeout_ms,
    };
    fields::check_all(call.headers)?;
    fields::check_all(call.trailers)?;
    let (host, origin) = state.host_and_origin();
    let id = host.http_call(origin, call)?;
    guest.write_u32(return_call_id, id)
}
