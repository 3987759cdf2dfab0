//! Spec v0.2.1, "HTTP": answering in the upstream's place.

use wasmtime::Linker;

use super::fields;
use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::host::{Host, LocalResponse, Response};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::pairs::Pairs;
use crate::proxy_wasm::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_send_local_response" (
            status: u32, details: u32, details_size: u32, body: u32, body_size: u32, headers: u32, headers_size: u32,
            grpc_status: i32
        ) => send_local_response(
            status,
            GuestBytes { address: details, size: details_size },
            GuestBytes { address: body, size: body_size },
            GuestBytes { address: headers, size: headers_size },
            grpc_status
        );
    }
    Ok(())
}

/// Everything is checked before the host hears of it: half a response must not be sent.
fn send_local_response<H: Host>(
    guest: &mut Guest<'_, H>,
    status: u32,
    details: GuestBytes,
    body: GuestBytes,
    headers: GuestBytes,
    grpc_status: i32,
) -> Result {
    let (memory, state) = guest.split();
    let headers = memory.bytes(headers)?;
    let response = Response {
        status,
        details: memory.bytes(details)?,
        body: memory.bytes(body)?,
        headers: Pairs::parse(headers)?,
        grpc_status,
    };
    fields::check_all(response.headers)?;
    let stream = state.stream().map_err(|_| Status::BadArgument)?;
    Ok(stream.send_local_response(response)?)
}
