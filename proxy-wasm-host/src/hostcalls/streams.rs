//! Spec v0.2.1, "Common stream operations", with the names that v0.1.0 has for continuing; and the
//! status of the last call.

use wasmtime::{Caller, Linker, Module};

use super::answer;
use crate::abi::StreamType;
use crate::host::{Host, StreamControl};
use crate::memory::{Guest, Result, ReturnBytes};
use crate::state::VmState;

hostcalls! {
    "proxy_continue_stream" (stream: i32) => continue_stream(stream);
    "proxy_close_stream" (stream: i32) => close_stream(stream);
    "proxy_get_status" (return_code: u32, data: u32, size: u32)
        => get_status(return_code, ReturnBytes { data, size });
    "proxy_continue_request" () => continue_stream(StreamType::HttpRequest as i32);
    "proxy_continue_response" () => continue_stream(StreamType::HttpResponse as i32);
    "proxy_clear_route_cache" () => clear_route_cache();
}

/// Defines functions without a result where a module imports them so. v0.1.0 documents these three
/// without a result, but every SDK imports them with one.
pub fn add_without_result<H: Host>(linker: &mut Linker<VmState<H>>, module: &Module) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for import in module.imports().filter(|import| import.module() == "env") {
        let function: fn(&mut Guest<'_, H>) -> Result = match import.name() {
            "proxy_continue_request" => |guest| continue_stream(guest, StreamType::HttpRequest as i32),
            "proxy_continue_response" => |guest| continue_stream(guest, StreamType::HttpResponse as i32),
            "proxy_clear_route_cache" => clear_route_cache,
            _ => continue,
        };
        if import.ty().func().is_some_and(|ty| ty.results().len() == 0) {
            linker.func_wrap("env", import.name(), move |caller: Caller<'_, VmState<H>>| {
                answer(caller, |guest| function(guest)).map(drop)
            })?;
        }
    }
    linker.allow_shadowing(false);
    Ok(())
}

/// Resumes a stream. Without a live request there is nothing to resume, and the answer is `Ok`: the
/// reference host answers the same, and the Rust SDK panics on any other answer.
fn continue_stream<H: Host>(guest: &mut Guest<'_, H>, stream: i32) -> Result {
    let half = StreamType::try_from(stream)?;
    match guest.state().stream() {
        Ok(stream) => Ok(stream.continue_stream(half)?),
        Err(_) => Ok(()),
    }
}

fn close_stream<H: Host>(guest: &mut Guest<'_, H>, stream: i32) -> Result {
    let half = StreamType::try_from(stream)?;
    match guest.state().stream() {
        Ok(stream) => Ok(stream.close_stream(half)?),
        Err(_) => Ok(()),
    }
}

/// Before the first call ends, the status is 0 and its message is empty.
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

/// Does nothing and succeeds: nginx chose the location before any plugin ran, and keeps it, so
/// there is no cache to clear.
fn clear_route_cache<H: Host>(_: &mut Guest<'_, H>) -> Result {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Status;
    use crate::context::ContextKey;
    use crate::local::LocalStream;
    use crate::local::probe::{OUT, Probe, link};

    #[test]
    fn halves_are_continued_and_closed_by_number() {
        let mut probe = Probe::new();
        assert_eq!(probe.call("proxy_continue_stream", &[1]), Status::Ok);
        assert_eq!(probe.call("proxy_close_stream", &[0]), Status::Ok);
        assert_eq!(probe.call("proxy_continue_stream", &[4]), Status::BadArgument);
        assert_eq!(probe.call("proxy_close_stream", &[u32::MAX]), Status::BadArgument);
        let request = probe.stream.request();
        assert_eq!(
            (&request.continued[..], &request.closed[..]),
            (&[StreamType::HttpResponse][..], &[StreamType::HttpRequest][..])
        );
    }

    #[test]
    fn v0_1_0_has_a_function_for_each_half() {
        let mut probe = Probe::new();
        assert_eq!(probe.call("proxy_continue_request", &[]), Status::Ok);
        assert_eq!(probe.call("proxy_continue_response", &[]), Status::Ok);
        assert_eq!(probe.call("proxy_clear_route_cache", &[]), Status::Ok);
        assert_eq!(probe.stream.request().continued, [StreamType::HttpRequest, StreamType::HttpResponse]);
    }

    #[test]
    fn v0_1_0_may_import_these_without_a_result() {
        for result in ["", "(result i32)"] {
            let plugin = link(&format!(
                r#"(module
                    (import "env" "proxy_continue_request" (func {result}))
                    (import "env" "proxy_continue_response" (func {result}))
                    (import "env" "proxy_clear_route_cache" (func {result}))
                    (memory (export "memory") 1)
                    (func (export "proxy_abi_version_0_1_0")))"#
            ));
            assert_eq!(plugin.err(), None, "{result}");
        }
        let plugin = link(
            r#"(module
                (import "env" "proxy_continue_response" (func $continue))
                (memory (export "memory") 1)
                (func (export "proxy_abi_version_0_1_0"))
                (func (export "continue") (result i32) call $continue i32.const 0))"#,
        );
        let mut probe = Probe::of(&plugin.unwrap(), LocalStream::default());
        let contexts = &mut probe.store.data_mut().contexts;
        let (http, ..) = contexts.open(0, probe.stream.clone());
        contexts.enter(ContextKey::Http(http));
        assert_eq!(probe.call("continue", &[]), Status::Ok);
        assert_eq!(probe.stream.request().continued, [StreamType::HttpResponse]);
    }

    #[test]
    fn without_a_request_there_is_nothing_to_do() {
        let mut probe = Probe::without_request();
        assert_eq!(probe.call("proxy_continue_stream", &[0]), Status::Ok);
        assert_eq!(probe.call("proxy_close_stream", &[1]), Status::Ok);
        assert_eq!(probe.call("proxy_continue_stream", &[4]), Status::BadArgument);
    }

    #[test]
    fn the_status_of_the_last_call_is_told() {
        let mut probe = Probe::new();
        assert_eq!(probe.call("proxy_get_status", &[OUT + 8, OUT, OUT + 4]), Status::Ok);
        assert_eq!((probe.number(OUT + 8), probe.returned()), (0, Vec::new()));
        probe.store.data_mut().incoming.status = Some((14, b"unavailable".to_vec()));
        assert_eq!(probe.call("proxy_get_status", &[OUT + 8, OUT, OUT + 4]), Status::Ok);
        assert_eq!((probe.number(OUT + 8), probe.returned()), (14, b"unavailable".to_vec()));
    }
}
