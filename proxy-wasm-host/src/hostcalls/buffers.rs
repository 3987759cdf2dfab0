//! Spec v0.2.1, "Buffers"; and "Configuration" of v0.1.0, which has its own call for a
//! configuration.

use std::ops::Range;

use crate::abi::{BufferType, Status};
use crate::host::{Buffers, Host};
use crate::identity::Dialect;
use crate::memory::{Guest, Result, ReturnBytes};
use crate::state::VmState;
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_get_buffer_bytes" (buffer: i32, start: u32, max_size: u32, data: u32, size: u32)
        => get_buffer_bytes(buffer, start, max_size, ReturnBytes { data, size });
    "proxy_get_buffer_status" (buffer: i32, return_size: u32, return_flags: u32)
        => get_buffer_status(buffer, return_size, return_flags);
    "proxy_set_buffer_bytes" (buffer: i32, start: u32, max_size: u32, address: u32, size: u32)
        => set_buffer_bytes(buffer, start, max_size, GuestBytes { address, size });
    "proxy_get_configuration" (data: u32, size: u32) => get_configuration(ReturnBytes { data, size });
}

fn get_buffer_bytes<H: Host>(
    guest: &mut Guest<'_, H>,
    buffer: i32,
    start: u32,
    max_size: u32,
    out: ReturnBytes,
) -> Result {
    let buffer = BufferType::try_from(buffer)?;
    guest.check_return(out)?;
    let size = buffer_size(guest.state(), buffer)?;
    let range = match guest.state().plugin.dialect {
        // Envoy writes nothing where there is nothing to read. The AssemblyScript SDK depends on it:
        // it passes the size of its configuration as the address for that size, and a null address
        // of the bytes would end it.
        Dialect::Envoy if cut(start, max_size, size).is_empty() => return Ok(()),
        Dialect::Envoy => cut(start, max_size, size),
        Dialect::CModule => clip(start, max_size, size)?,
    };
    guest.give(out, range.len(), |into, state| read(state, buffer, range, into))
}

fn get_buffer_status<H: Host>(guest: &mut Guest<'_, H>, buffer: i32, return_size: u32, return_flags: u32) -> Result {
    let buffer = BufferType::try_from(buffer)?;
    guest.check(return_size, 4)?;
    guest.check(return_flags, 4)?;
    let size = u32::try_from(buffer_size(guest.state(), buffer)?).unwrap_or(u32::MAX);
    guest.write_u32(return_size, size)?;
    // No version of the spec defines a flag.
    guest.write_u32(return_flags, 0)
}

fn set_buffer_bytes<H: Host>(
    guest: &mut Guest<'_, H>,
    buffer: i32,
    start: u32,
    size: u32,
    value: GuestBytes,
) -> Result {
    let buffer = BufferType::try_from(buffer)?;
    let (memory, state) = guest.split();
    let value = memory.bytes(value)?;
    if kept(state, buffer)?.is_some() {
        // The host filled this buffer for the plugin to read; the plugin cannot change it.
        return Err(Status::BadArgument.into());
    }
    let stream = state.stream()?;
    let range = replaced(start, size, stream.buffer_size(buffer)?);
    Ok(stream.replace_buffer(buffer, range.start, range.len(), value)?)
}

/// v0.1.0: the VM's configuration in `proxy_on_vm_start`, else the plugin's. Unlike an empty
/// buffer, an empty configuration is not `NotFound`.
fn get_configuration<H: Host>(guest: &mut Guest<'_, H>, out: ReturnBytes) -> Result {
    guest.give_copy(out, |value, _, state| {
        value.extend_from_slice(state.contexts.plugin_configuration());
        Ok(())
    })
}

/// Returns a buffer that the state holds; `None` for the buffers of the stream.
#[inline]
fn kept<H: Host>(state: &VmState<H>, buffer: BufferType) -> std::result::Result<Option<&[u8]>, Status> {
    let incoming = &state.incoming;
    let bytes = match buffer {
        BufferType::HttpRequestBody
        | BufferType::HttpResponseBody
        | BufferType::DownstreamData
        | BufferType::UpstreamData => return Ok(None),
        BufferType::HttpCallResponseBody => incoming.http_call.as_ref().map(|response| &response.body[..]),
        BufferType::GrpcCallMessage => incoming.grpc_message.as_deref(),
        BufferType::VmConfiguration => Some(&state.plugin.vm_configuration[..]),
        BufferType::PluginConfiguration => Some(state.contexts.plugin_configuration()),
        BufferType::ForeignFunctionArguments => incoming.foreign_arguments.as_deref(),
        BufferType::RedisReply => incoming.redis_reply.as_deref(),
    };
    bytes.map(Some).ok_or(Status::NotFound)
}

fn buffer_size<H: Host>(state: &mut VmState<H>, buffer: BufferType) -> std::result::Result<usize, Status> {
    let dialect = state.plugin.dialect;
    let size = match kept(state, buffer) {
        Ok(Some(bytes)) => Ok(bytes.len()),
        Ok(None) => state.stream().and_then(|stream| stream.buffer_size(buffer)),
        Err(status) => Err(status),
    };
    match size {
        // In Envoy these buffers exist always, empty where there is nothing for them.
        Err(Status::NotFound) if dialect == Dialect::Envoy && is_always_there(buffer) => Ok(0),
        size => size,
    }
}

fn is_always_there(buffer: BufferType) -> bool {
    !matches!(buffer, BufferType::DownstreamData | BufferType::UpstreamData | BufferType::HttpCallResponseBody)
}

/// Checks the range again: the guest's allocator may have changed the buffer since it was measured.
fn read<H: Host>(
    state: &mut VmState<H>,
    buffer: BufferType,
    range: Range<usize>,
    into: &mut [u8],
) -> std::result::Result<(), Status> {
    if range.is_empty() {
        return Ok(());
    }
    if let Some(bytes) = kept(state, buffer)? {
        into.copy_from_slice(bytes.get(range).ok_or(Status::BadArgument)?);
        return Ok(());
    }
    let stream = state.stream()?;
    if range.end > stream.buffer_size(buffer)? {
        return Err(Status::BadArgument);
    }
    stream.read_buffer(buffer, range.start, into)
}

/// The range that `start` and `max_size` mean in a buffer of `size` bytes, as in Envoy: what lies
/// past the end is cut.
fn cut(start: u32, max_size: u32, size: usize) -> Range<usize> {
    let start = (start as usize).min(size);
    start..start.saturating_add(max_size as usize).min(size)
}

/// The same as in the C module: a range that is too long is cut; a range that makes no sense is
/// refused.
fn clip(start: u32, max_size: u32, size: usize) -> std::result::Result<Range<usize>, Status> {
    if size == 0 {
        return Err(Status::NotFound);
    }
    // An end past 32 bits comes from a negative number, which the plugin did not mean. From the
    // start, u32::MAX means "all".
    let end = start.checked_add(max_size).ok_or(Status::BadArgument)?;
    let (start, end) = (start as usize, (end as usize).min(size));
    if start < end { Ok(start..end) } else { Err(Status::BadArgument) }
}

/// The range that `start` and `size` replace: prepend, inject, replace; or append, where `start` is
/// at the end or past it.
fn replaced(start: u32, size: u32, available: usize) -> Range<usize> {
    let start = (start as usize).min(available);
    let end = start.saturating_add(size as usize).min(available);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::probe::{OUT, Probe};
    use crate::state::HttpCallResponse;

    const MINUS_ONE: u32 = u32::MAX;

    #[test]
    fn what_is_read_is_cut_at_the_end() {
        assert_eq!(clip(0, 10, 10), Ok(0..10));
        assert_eq!(clip(0, 1, 10), Ok(0..1));
        assert_eq!(clip(9, 1, 10), Ok(9..10));
        assert_eq!(clip(2, 100, 10), Ok(2..10));
        assert_eq!(clip(0, u32::MAX, 10), Ok(0..10));
    }

    #[test]
    fn what_lies_past_the_end_is_cut() {
        assert_eq!(cut(2, 3, 10), 2..5);
        assert_eq!(cut(1, MINUS_ONE, 10), 1..10);
        for (start, max_size) in [(10, 0), (10, 5), (11, 1), (MINUS_ONE, 2)] {
            assert_eq!(cut(start, max_size, 10), 10..10, "{start} {max_size}");
        }
    }

    #[test]
    fn nonsense_is_a_bad_argument() {
        for (start, max_size) in [(MINUS_ONE, 2), (1, 0), (0, 0), (1, MINUS_ONE), (10, 2), (11, 1)] {
            assert_eq!(clip(start, max_size, 10), Err(Status::BadArgument), "{start} {max_size}");
        }
    }

    #[test]
    fn nothing_can_be_read_of_an_empty_buffer() {
        for (start, max_size) in [(0, u32::MAX), (0, 0), (1, 1), (MINUS_ONE, 2)] {
            assert_eq!(clip(start, max_size, 0), Err(Status::NotFound), "{start} {max_size}");
        }
    }

    #[test]
    fn a_range_to_replace_lies_in_the_buffer() {
        assert_eq!(replaced(0, 0, 10), 0..0, "prepend");
        assert_eq!(replaced(10, 0, 10), 10..10, "append");
        assert_eq!(replaced(u32::MAX, 0, 10), 10..10, "append");
        assert_eq!(replaced(u32::MAX, u32::MAX, 10), 10..10, "append");
        assert_eq!(replaced(3, 0, 10), 3..3, "inject");
        assert_eq!(replaced(3, 4, 10), 3..7, "replace");
        assert_eq!(replaced(0, u32::MAX, 10), 0..10, "replace all");
        assert_eq!(replaced(0, 5, 0), 0..0, "fill");
    }

    const REQUEST_BODY: u32 = BufferType::HttpRequestBody as u32;

    fn body(probe: &mut Probe, start: u32, max_size: u32) -> std::result::Result<Vec<u8>, Status> {
        probe.get("proxy_get_buffer_bytes", &[REQUEST_BODY, start, max_size])
    }

    /// Returns the body after `value` has replaced a range.
    fn set(start: u32, size: u32, value: &str) -> String {
        let mut probe = Probe::new();
        let value = probe.put(value);
        let arguments = [REQUEST_BODY, start, size, value[0], value[1]];
        assert_eq!(probe.call("proxy_set_buffer_bytes", &arguments), Status::Ok);
        String::from_utf8_lossy(&probe.stream.request().buffers[&BufferType::HttpRequestBody]).into_owned()
    }

    #[test]
    fn a_body_is_read_in_part_or_as_a_whole() {
        let mut probe = Probe::new();
        assert_eq!(body(&mut probe, 2, 3), Ok(b"234".to_vec()));
        assert_eq!(body(&mut probe, 0, u32::MAX), Ok(b"0123456789".to_vec()));
        assert_eq!(body(&mut probe, 1, u32::MAX), Ok(b"123456789".to_vec()));
        probe.memory()[OUT as usize..][..8].fill(0);
        for (start, max_size) in [(10, 0), (10, 5), (11, 1), (3, 0), (MINUS_ONE, 2)] {
            assert_eq!(body(&mut probe, start, max_size), Ok(Vec::new()), "{start} {max_size}");
        }
        probe.memory()[OUT as usize..][..8].fill(7);
        assert_eq!(probe.call("proxy_get_buffer_bytes", &[REQUEST_BODY, 10, 1, OUT, OUT + 4]), Status::Ok);
        assert_eq!(probe.memory()[OUT as usize..][..8], [7; 8], "nothing is written where nothing is read");
        probe.memory()[OUT as usize..][..8].fill(0);
        assert_eq!(Probe::without_request().get("proxy_get_buffer_bytes", &[REQUEST_BODY, 0, 1]), Ok(Vec::new()));
        let of_a_call = BufferType::HttpCallResponseBody as u32;
        assert_eq!(probe.get("proxy_get_buffer_bytes", &[of_a_call, 0, 1]), Err(Status::NotFound));
        assert_eq!(probe.get("proxy_get_buffer_bytes", &[10, 0, 1]), Err(Status::BadArgument));
    }

    #[test]
    fn a_body_is_written_by_range() {
        assert_eq!(set(0, 0, "ab"), "ab0123456789");
        assert_eq!(set(u32::MAX, 0, "ab"), "0123456789ab");
        assert_eq!(set(4, 2, "ab"), "0123ab6789");
        assert_eq!(set(4, 0, "ab"), "0123ab456789");
        assert_eq!(set(8, 100, "ab"), "01234567ab");
        assert_eq!(set(0, u32::MAX, ""), "");
    }

    #[test]
    fn sizes_are_told() {
        let mut probe = Probe::new();
        assert_eq!(probe.call("proxy_get_buffer_status", &[REQUEST_BODY, OUT, OUT + 4]), Status::Ok);
        assert_eq!((probe.number(OUT), probe.number(OUT + 4)), (10, 0));
        let response_body = BufferType::HttpResponseBody as u32;
        assert_eq!(probe.call("proxy_get_buffer_status", &[response_body, OUT, OUT + 4]), Status::Ok);
        assert_eq!((probe.number(OUT), probe.number(OUT + 4)), (0, 0));
    }

    #[test]
    fn the_configurations_can_be_read_by_every_context() {
        for mut probe in [Probe::new(), Probe::without_request()] {
            let plugin = BufferType::PluginConfiguration as u32;
            assert_eq!(probe.get("proxy_get_buffer_bytes", &[plugin, 0, u32::MAX]), Ok(b"conf".to_vec()));
            assert_eq!(probe.get("proxy_get_configuration", &[]), Ok(b"conf".to_vec()));
            let vm = BufferType::VmConfiguration as u32;
            assert_eq!(probe.get("proxy_get_buffer_bytes", &[vm, 3, 4]), Ok(b"conf".to_vec()));
            assert_eq!(probe.call("proxy_set_buffer_bytes", &[plugin, 0, 0, 0, 0]), Status::BadArgument);
        }
    }

    #[test]
    fn what_a_callback_brings_can_be_read_while_it_is_there() {
        let mut probe = Probe::without_request();
        let read =
            |probe: &mut Probe, buffer: BufferType| probe.get("proxy_get_buffer_bytes", &[buffer as u32, 0, 100]);
        for buffer in [BufferType::GrpcCallMessage, BufferType::ForeignFunctionArguments] {
            assert_eq!(read(&mut probe, buffer), Ok(Vec::new()));
        }
        assert_eq!(read(&mut probe, BufferType::HttpCallResponseBody), Err(Status::NotFound));
        let incoming = &mut probe.store.data_mut().incoming;
        incoming.http_call = Some(HttpCallResponse { body: b"call".to_vec(), ..HttpCallResponse::default() });
        incoming.grpc_message = Some(b"grpc".to_vec());
        incoming.foreign_arguments = Some(b"foreign".to_vec());
        assert_eq!(read(&mut probe, BufferType::HttpCallResponseBody), Ok(b"call".to_vec()));
        assert_eq!(read(&mut probe, BufferType::GrpcCallMessage), Ok(b"grpc".to_vec()));
        assert_eq!(read(&mut probe, BufferType::ForeignFunctionArguments), Ok(b"foreign".to_vec()));
    }
}
