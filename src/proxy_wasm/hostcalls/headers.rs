//! Spec v0.2.1, "HTTP fields".

use std::borrow::Cow;

use wasmtime::Linker;

use super::fields;
use crate::proxy_wasm::abi::{MapType, Status};
use crate::proxy_wasm::host::{HeaderMaps, Host};
use crate::proxy_wasm::memory::{Guest, Result, ReturnBytes};
use crate::proxy_wasm::pairs::{Encoder, Measure, Pairs, PairsBuf};
use crate::proxy_wasm::state::{Incoming, VmState};
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_get_header_map_size" (map: i32, return_size: u32) => get_header_map_size(map, return_size);
        "proxy_get_header_map_pairs" (map: i32, data: u32, size: u32)
            => get_header_map_pairs(map, ReturnBytes { data, size });
        "proxy_set_header_map_pairs" (map: i32, address: u32, size: u32)
            => set_header_map_pairs(map, GuestBytes { address, size });
        "proxy_get_header_map_value" (map: i32, name: u32, name_size: u32, data: u32, size: u32)
            => get_header_map_value(map, GuestBytes { address: name, size: name_size }, ReturnBytes { data, size });
        "proxy_add_header_map_value" (map: i32, name: u32, name_size: u32, value: u32, value_size: u32)
            => set_header_map_value(
                Change::Add,
                map,
                GuestBytes { address: name, size: name_size },
                GuestBytes { address: value, size: value_size }
            );
        "proxy_replace_header_map_value" (map: i32, name: u32, name_size: u32, value: u32, value_size: u32)
            => set_header_map_value(
                Change::Replace,
                map,
                GuestBytes { address: name, size: name_size },
                GuestBytes { address: value, size: value_size }
            );
        "proxy_remove_header_map_value" (map: i32, address: u32, size: u32)
            => remove_header_map_value(map, GuestBytes { address, size });
    }
    Ok(())
}

fn get_header_map_size<H: Host>(guest: &mut Guest<'_, H>, map: i32, return_size: u32) -> Result {
    let map = MapType::try_from(map)?;
    guest.check(return_size, 4)?;
    let size = measure(guest.state(), map)?.size();
    guest.write_u32(return_size, u32::try_from(size).map_err(|_| Status::SerializationFailure)?)
}

/// Measured by one walk, written by another.
fn get_header_map_pairs<H: Host>(guest: &mut Guest<'_, H>, map: i32, out: ReturnBytes) -> Result {
    let map = MapType::try_from(map)?;
    guest.check_return(out)?;
    let measure = measure(guest.state(), map)?;
    // An empty map is sent as its count of 0: the AssemblyScript SDK reads the count without looking at the size, and the Go
    // SDK takes no bytes for "not found".
    guest.give(out, measure.size(), |into, state| {
        let mut encoder = Encoder::new(into, measure)?;
        for_each(state, map, &mut |name, value| encoder.push(name, value))?;
        encoder.finish()
    })
}

fn set_header_map_pairs<H: Host>(guest: &mut Guest<'_, H>, map: i32, pairs: GuestBytes) -> Result {
    let map = MapType::try_from(map)?;
    let (memory, state) = guest.split();
    let pairs = Pairs::parse(memory.bytes(pairs)?)?;
    fields::check_all(pairs)?;
    Ok(writable(state, map)?.set_headers(map, pairs)?)
}

fn get_header_map_value<H: Host>(guest: &mut Guest<'_, H>, map: i32, name: GuestBytes, out: ReturnBytes) -> Result {
    let map = MapType::try_from(map)?;
    guest.check_return(out)?;
    guest.give_copy(out, |value, memory, state| {
        let name = memory.bytes(name)?;
        let found = match incoming(&state.incoming, map) {
            Some(pairs) => pairs.get(name).map(Cow::Borrowed),
            None => state.stream()?.header(map, name)?,
        };
        value.extend_from_slice(&found.ok_or(Status::NotFound)?);
        Ok(())
    })
}

/// What becomes of the fields that bear the name already.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Replace,
}

fn set_header_map_value<H: Host>(
    guest: &mut Guest<'_, H>,
    change: Change,
    map: i32,
    name: GuestBytes,
    value: GuestBytes,
) -> Result {
    let map = MapType::try_from(map)?;
    let (memory, state) = guest.split();
    let (name, value) = (memory.bytes(name)?, memory.bytes(value)?);
    let stream = writable(state, map)?;
    // Existing suites want no error here, and a field without a name cannot be sent.
    if name.is_empty() {
        return Ok(());
    }
    fields::check(name, value)?;
    Ok(match change {
        Change::Add => stream.add_header(map, name, value)?,
        Change::Replace => stream.replace_header(map, name, value)?,
    })
}

fn remove_header_map_value<H: Host>(guest: &mut Guest<'_, H>, map: i32, name: GuestBytes) -> Result {
    let map = MapType::try_from(map)?;
    let (memory, state) = guest.split();
    let name = memory.bytes(name)?;
    let stream = writable(state, map)?;
    if name.is_empty() {
        return Ok(());
    }
    Ok(stream.remove_header(map, name)?)
}

/// The maps that came with the running callback; `None` for those of the stream.
fn incoming(incoming: &Incoming, map: MapType) -> Option<Pairs<'_>> {
    let pairs = match map {
        MapType::HttpRequestHeaders
        | MapType::HttpRequestTrailers
        | MapType::HttpResponseHeaders
        | MapType::HttpResponseTrailers => return None,
        MapType::GrpcCallInitialMetadata | MapType::GrpcCallTrailingMetadata => incoming.grpc_metadata.as_ref(),
        MapType::HttpCallResponseHeaders => incoming.http_call.as_ref().map(|response| &response.headers),
        MapType::HttpCallResponseTrailers => incoming.http_call.as_ref().map(|response| &response.trailers),
    };
    Some(pairs.map(PairsBuf::as_pairs).unwrap_or_default())
}

/// Walks over a map. The spec knows no error for one that is not there now, and the Rust SDK panics on any: it has no fields.
fn for_each<H: Host>(
    state: &mut VmState<H>,
    map: MapType,
    field: &mut dyn FnMut(&[u8], &[u8]),
) -> std::result::Result<(), Status> {
    if let Some(pairs) = incoming(&state.incoming, map) {
        pairs.iter().for_each(|(name, value)| field(name, value));
        return Ok(());
    }
    match state.stream().and_then(|stream| stream.for_each_header(map, field)) {
        Err(Status::NotFound) => Ok(()),
        walked => walked,
    }
}

fn measure<H: Host>(state: &mut VmState<H>, map: MapType) -> std::result::Result<Measure, Status> {
    let mut measure = Measure::default();
    for_each(state, map, &mut |name, value| measure.add(name, value))?;
    Ok(measure)
}

/// The stream whose map it is, for a map that a plugin may change.
fn writable<H: Host>(state: &mut VmState<H>, map: MapType) -> std::result::Result<&mut H::Stream, Status> {
    match incoming(&state.incoming, map) {
        None => state.stream().map_err(|_| Status::BadArgument),
        Some(_) => Err(Status::BadArgument),
    }
}
