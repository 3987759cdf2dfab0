//! Spec v0.2.1, "Common stream operations" and the status of the last call; with the names v0.1.0 has for continuing.

use wasmtime::Linker;

use crate::proxy_wasm::abi::{Status, StreamType};
use crate::proxy_wasm::host::{Host, StreamControl};
use crate::proxy_wasm::memory::{Guest, Result, ReturnBytes};
use crate::proxy_wasm::state::VmState;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_continue_stream" (stream: i32) => continue_stream(stream);
        "proxy_close_stream" (stream: i32) => close_stream(stream);
        "proxy_get_status" (return_code: u32, data: u32, size: u32)
            => get_status(return_code, ReturnBytes { data, size });
        // v0.1.0 documents these three without a result; every SDK imports them with one.
        "proxy_continue_request" () => continue_stream(StreamType::HttpRequest as i32);
        "proxy_continue_response" () => continue_stream(StreamType::HttpResponse as i32);
        "proxy_clear_route_cache" () => clear_route_cache();
    }
    Ok(())
}

fn continue_stream<H: Host>(guest: &mut Guest<'_, H>, stream: i32) -> Result {
    let half = StreamType::try_from(stream)?;
    Ok(stream_of(guest)?.continue_stream(half)?)
}

fn close_stream<H: Host>(guest: &mut Guest<'_, H>, stream: i32) -> Result {
    let half = StreamType::try_from(stream)?;
    Ok(stream_of(guest)?.close_stream(half)?)
}

/// The request of the effective context; a context without one has nothing to continue or close.
fn stream_of<'a, H: Host>(guest: &'a mut Guest<'_, H>) -> std::result::Result<&'a mut H::Stream, Status> {
    guest.state().stream().map_err(|_| Status::BadArgument)
}

/// Without a call before, the status is 0 and has no message.
fn get_status<H: Host>(guest: &mut Guest<'_, H>, return_code: u32, out: ReturnBytes) -> Result {
    guest.check(return_code, 4)?;
    guest.check_return(out)?;
    let code = guest.state().incoming.status.as_ref().map_or(0, |(code, _)| *code);
    guest.write_u32(return_code, code)?;
    guest.give_copy(out, |message, _, state| {
        if let Some((_, text)) = &state.incoming.status {
            message.extend_from_slice(text);
        }
        Ok(())
    })
}

/// nginx chose the location before any plugin ran, and keeps it: there is no cache to clear, which is what was asked for.
fn clear_route_cache<H: Host>(_: &mut Guest<'_, H>) -> Result {
    Ok(())
}
