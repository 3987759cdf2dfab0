//! Spec v0.2.1, "HTTP fields".

use std::borrow::Cow;

use super::{bounded, fields};
use crate::abi::{AbiVersion, MapType, Status};
use crate::host::{HeaderMaps, Host};
use crate::identity::Dialect;
use crate::limits;
use crate::memory::{Guest, Result, ReturnBytes};
use crate::pairs::{Encoder, Measure, Pairs, PairsBuf};
use crate::state::{Incoming, VmState};
use crate::wasm::memory::GuestBytes;

hostcalls! {
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

fn get_header_map_size<H: Host>(guest: &mut Guest<'_, H>, map: i32, return_size: u32) -> Result {
    let map = MapType::try_from(map)?;
    guest.check(return_size, 4)?;
    let size = measure(guest.state(), map)?.size();
    guest.write_u32(return_size, u32::try_from(size).map_err(|_| Status::SerializationFailure)?)
}

/// Walks the map twice: first to measure it, then to write it.
fn get_header_map_pairs<H: Host>(guest: &mut Guest<'_, H>, map: i32, out: ReturnBytes) -> Result {
    let map = MapType::try_from(map)?;
    guest.check_return(out)?;
    let measure = measure(guest.state(), map)?;
    if map == MapType::HttpCallResponseHeaders && measure.is_empty() && guest.state().plugin.dialect == Dialect::CModule
    {
        // The C module answers NOT_FOUND for a call that failed. To the Go SDK no bytes mean that, too; the
        // Rust SDK would panic on the status, and takes no bytes for no fields.
        return guest.give(out, 0, |_, _| Ok(()));
    }
    // An empty map is sent as a count of 0. The AssemblyScript SDK reads the count without looking
    // at the size, and the Go SDK takes zero bytes for "not found".
    guest.give(out, measure.size(), |into, state| {
        let mut encoder = Encoder::new(into, measure)?;
        for_each(state, map, &mut |name, value| encoder.push(name, value))?;
        encoder.finish()
    })
}

fn set_header_map_pairs<H: Host>(guest: &mut Guest<'_, H>, map: i32, pairs: GuestBytes) -> Result {
    let map = MapType::try_from(map)?;
    let (memory, state) = guest.split();
    let pairs = bounded::map(&memory, pairs)?;
    let mut changed = PairsBuf::new();
    let pairs = fields::check_each(pairs, &mut changed, check)?;
    Ok(writable(state, map)?.set_headers(map, pairs)?)
}

/// Kong's name for why a call failed. It is no field of the response.
const DISPATCH_STATUS: &[u8] = b":dispatch_status";

fn get_header_map_value<H: Host>(guest: &mut Guest<'_, H>, map: i32, name: GuestBytes, out: ReturnBytes) -> Result {
    let map = MapType::try_from(map)?;
    let state = guest.state();
    let is_empty_if_missing = state.abi_version == AbiVersion::V0_1_0 && state.plugin.dialect == Dialect::Envoy;
    guest.give_copy(out, |value, memory, state| {
        let name = bounded::name(&memory, name, Status::NotFound)?;
        let found = match incoming(&state.incoming, map) {
            Some(_) if map == MapType::HttpCallResponseHeaders && name == DISPATCH_STATUS => {
                let response = state.incoming.http_call.as_ref();
                response.and_then(|response| response.dispatch_status).map(|status| Cow::Borrowed(status.as_bytes()))
            }
            Some(pairs) => pairs.get(name).map(Cow::Borrowed),
            None => match state.stream()?.header(map, name) {
                // The map is not available now.
                Err(Status::NotFound) if is_empty_if_missing => None,
                found => found?,
            },
        };
        match found {
            Some(found) => value.extend_from_slice(&found),
            // As in Envoy: SDKs of that time know no other answer.
            None if is_empty_if_missing => {}
            None => return Err(Status::NotFound.into()),
        }
        Ok(())
    })
}

/// What happens to the fields that have this name already.
#[derive(Clone, Copy)]
enum Change {
    Add,
    Replace,
}

/// Part of both host functions, which would otherwise hand all of this over by the stack.
#[inline(always)]
fn set_header_map_value<H: Host>(
    guest: &mut Guest<'_, H>,
    change: Change,
    map: i32,
    name: GuestBytes,
    value: GuestBytes,
) -> Result {
    let map = MapType::try_from(map)?;
    let (memory, state) = guest.split();
    let name = bounded::name(&memory, name, Status::BadArgument)?;
    let value = bounded::bytes(&memory, value, limits::MAP, Status::BadArgument)?;
    let stream = writable(state, map)?;
    // Test suites of other hosts expect no error here, and a field without a name cannot be sent.
    if name.is_empty() {
        return Ok(());
    }
    let value = check(name, value)?;
    match change {
        Change::Add => stream.add_header(map, name, value)?,
        Change::Replace => stream.replace_header(map, name, value)?,
    }
    Ok(())
}

/// The host checks these two itself: it escapes characters that a path cannot hold. A method that
/// has characters which it cannot hold gets a line in the request's log.
fn check<'a>(name: &[u8], value: &'a [u8]) -> std::result::Result<&'a [u8], Status> {
    if matches!(name, b":path" | b":method") { Ok(value) } else { fields::check(name, value) }
}

fn remove_header_map_value<H: Host>(guest: &mut Guest<'_, H>, map: i32, name: GuestBytes) -> Result {
    let map = MapType::try_from(map)?;
    let (memory, state) = guest.split();
    let name = memory.bytes(name)?;
    let stream = writable(state, map)?;
    // A field cannot have such a name.
    if name.is_empty() || name.len() > limits::NAME {
        return Ok(());
    }
    Ok(stream.remove_header(map, name)?)
}

/// The maps that came with the running callback; `None` for the maps of the stream.
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

/// Walks over a map. A map that is not available now has no fields: the spec defines no error for
/// this, and the Rust SDK panics on any.
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

/// Returns the stream that has the map, if a plugin may change that map.
fn writable<H: Host>(state: &mut VmState<H>, map: MapType) -> std::result::Result<&mut H::Stream, Status> {
    match incoming(&state.incoming, map) {
        None => state.stream().map_err(|_| Status::BadArgument),
        Some(_) => Err(Status::BadArgument),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::identity::Identity;
    use crate::local::probe::{OUT, Probe};
    use crate::root_id::RootId;
    use crate::state::HttpCallResponse;

    const REQUEST: u32 = MapType::HttpRequestHeaders as u32;
    const TRAILERS: u32 = MapType::HttpRequestTrailers as u32;
    const CALL_HEADERS: u32 = MapType::HttpCallResponseHeaders as u32;

    fn fields(probe: &mut Probe, map: u32) -> Vec<(String, String)> {
        let bytes = probe.get("proxy_get_header_map_pairs", &[map]).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Pairs::parse(&bytes).unwrap().iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn names(probe: &mut Probe, map: u32) -> String {
        fields(probe, map).into_iter().map(|(name, value)| format!("{name}={value} ")).collect()
    }

    fn get(probe: &mut Probe, map: u32, name: &str) -> std::result::Result<Vec<u8>, Status> {
        let [address, size] = probe.put(name);
        probe.get("proxy_get_header_map_value", &[map, address, size])
    }

    fn set(probe: &mut Probe, function: &str, map: u32, name: &str, value: &str) -> Status {
        let (name, value) = (probe.put(name), probe.put(value));
        probe.call(function, &[map, name[0], name[1], value[0], value[1]])
    }

    fn remove(probe: &mut Probe, map: u32, name: &str) -> Status {
        let [address, size] = probe.put(name);
        probe.call("proxy_remove_header_map_value", &[map, address, size])
    }

    #[test]
    fn pairs_come_in_order_and_repeated() {
        let mut probe = Probe::new();
        assert_eq!(names(&mut probe, REQUEST), "host=example.org x-api=a X-API=b ");
        assert_eq!(probe.call("proxy_get_header_map_size", &[REQUEST, OUT]), Status::Ok);
        assert_eq!(probe.number(OUT) as usize, 4 + 3 * 8 + "host.example.org.x-api.a.X-API.b.".len());
    }

    #[test]
    fn a_value_is_the_first_of_its_name_in_any_case() {
        let mut probe = Probe::new();
        assert_eq!(get(&mut probe, REQUEST, "x-Api"), Ok(b"a".to_vec()));
        assert_eq!(get(&mut probe, REQUEST, "x-ap"), Err(Status::NotFound));
        assert_eq!(get(&mut probe, REQUEST, ""), Err(Status::NotFound));
    }

    #[test]
    fn a_plugin_of_the_first_abi_gets_no_status_for_a_missing_field() {
        let mut probe = Probe::new();
        assert_eq!(get(&mut probe, REQUEST, "x-none"), Err(Status::NotFound));
        probe.store.data_mut().abi_version = AbiVersion::V0_1_0;
        assert_eq!(get(&mut probe, REQUEST, "x-none"), Ok(Vec::new()));
    }

    #[test]
    fn why_a_call_failed_is_found_by_its_name_alone() {
        let mut probe = Probe::new();
        let response = HttpCallResponse { dispatch_status: Some("timeout"), ..HttpCallResponse::default() };
        probe.store.data_mut().incoming.http_call = Some(response);
        assert_eq!(get(&mut probe, CALL_HEADERS, ":dispatch_status"), Ok(b"timeout".to_vec()));
        assert_eq!(names(&mut probe, CALL_HEADERS), "");
        assert_eq!(get(&mut probe, REQUEST, ":dispatch_status"), Err(Status::NotFound));
    }

    #[test]
    fn the_headers_of_a_failed_call_are_no_bytes_where_the_c_module_has_none() {
        for (dialect, size) in [(Dialect::CModule, 0), (Dialect::Envoy, 4)] {
            let mut probe = Probe::new();
            probe.store.data_mut().plugin = Arc::new(Identity {
                name: "p".to_owned(),
                root_id: RootId::given("p", b""),
                dialect,
                vm_id: String::new(),
                vm_configuration: Vec::new(),
                node: Arc::default(),
            });
            probe.store.data_mut().incoming.http_call = Some(HttpCallResponse::default());
            assert_eq!(probe.get("proxy_get_header_map_pairs", &[CALL_HEADERS]).unwrap().len(), size);
            assert_eq!(get(&mut probe, CALL_HEADERS, ":status"), Err(Status::NotFound));
        }
    }

    #[test]
    fn an_empty_value_has_no_address() {
        let mut probe = Probe::new();
        assert_eq!(set(&mut probe, "proxy_add_header_map_value", REQUEST, "empty", ""), Status::Ok);
        assert_eq!(get(&mut probe, REQUEST, "empty"), Ok(Vec::new()));
        assert_eq!((probe.number(OUT), probe.number(OUT + 4)), (0, 0));
    }

    #[test]
    fn fields_are_added_replaced_and_removed() {
        let mut probe = Probe::new();
        assert_eq!(set(&mut probe, "proxy_add_header_map_value", REQUEST, "x-api", "c"), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "host=example.org x-api=a X-API=b x-api=c ");
        assert_eq!(set(&mut probe, "proxy_replace_header_map_value", REQUEST, "x-api", "d"), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "host=example.org x-api=d ");
        assert_eq!(remove(&mut probe, REQUEST, "X-API"), Status::Ok);
        assert_eq!(remove(&mut probe, REQUEST, "missing"), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "host=example.org ");
    }

    #[test]
    fn an_empty_name_is_no_error_and_no_field() {
        let mut probe = Probe::new();
        assert_eq!(set(&mut probe, "proxy_add_header_map_value", REQUEST, "", "a"), Status::Ok);
        assert_eq!(set(&mut probe, "proxy_replace_header_map_value", REQUEST, "", "a"), Status::Ok);
        assert_eq!(remove(&mut probe, REQUEST, ""), Status::Ok);
        assert_eq!(fields(&mut probe, REQUEST).len(), 3);
    }

    #[test]
    fn what_would_split_the_request_is_a_bad_argument() {
        let mut probe = Probe::new();
        for (name, value) in
            [("a", "b\r\nc: d"), ("a\nb", "c"), ("a", "\0"), ("a b", "c"), ("a:", "b"), (":authority", "a\nb")]
        {
            for function in ["proxy_add_header_map_value", "proxy_replace_header_map_value"] {
                assert_eq!(set(&mut probe, function, REQUEST, name, value), Status::BadArgument, "{name}");
            }
        }
        let map = probe.put(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0\n\0");
        assert_eq!(probe.call("proxy_set_header_map_pairs", &[REQUEST, map[0], map[1]]), Status::BadArgument);
        assert_eq!(fields(&mut probe, REQUEST).len(), 3);
    }

    #[test]
    fn spaces_around_a_value_are_no_part_of_it() {
        let mut probe = Probe::new();
        assert_eq!(set(&mut probe, "proxy_replace_header_map_value", REQUEST, "x-api", " c\t"), Status::Ok);
        assert_eq!(set(&mut probe, "proxy_add_header_map_value", REQUEST, "x-api", "\td e "), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "host=example.org x-api=c x-api=d e ");
        let map = probe.put(b"\x01\0\0\0\x01\0\0\0\x03\0\0\0a\0 b\t\0");
        assert_eq!(probe.call("proxy_set_header_map_pairs", &[REQUEST, map[0], map[1]]), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "a=b ");
    }

    #[test]
    fn the_host_judges_path_and_method() {
        let mut probe = Probe::new();
        for name in [":path", ":method"] {
            assert_eq!(set(&mut probe, "proxy_replace_header_map_value", REQUEST, name, "a\nb"), Status::Ok);
            assert_eq!(get(&mut probe, REQUEST, name), Ok(b"a\nb".to_vec()));
        }
    }

    #[test]
    fn a_map_is_replaced_as_a_whole() {
        let mut probe = Probe::new();
        let map = probe.put(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a\0b\0");
        assert_eq!(probe.call("proxy_set_header_map_pairs", &[REQUEST, map[0], map[1]]), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "a=b ");
        assert_eq!(probe.call("proxy_set_header_map_pairs", &[REQUEST, 0, 0]), Status::Ok);
        assert_eq!(names(&mut probe, REQUEST), "");
    }

    #[test]
    fn a_map_that_is_not_there_is_empty_and_cannot_be_changed() {
        for (mut probe, map) in
            [(Probe::without_request(), REQUEST), (Probe::new(), TRAILERS), (Probe::new(), CALL_HEADERS)]
        {
            assert_eq!(probe.get("proxy_get_header_map_pairs", &[map]), Ok(vec![0; 4]));
            assert_eq!(probe.call("proxy_get_header_map_size", &[map, OUT]), Status::Ok);
            assert_eq!(probe.number(OUT), 4);
            assert_eq!(get(&mut probe, map, "host"), Err(Status::NotFound));
            assert_ne!(set(&mut probe, "proxy_add_header_map_value", map, "a", "b"), Status::Ok);
            assert_ne!(probe.call("proxy_set_header_map_pairs", &[map, 0, 0]), Status::Ok);
        }
        assert_eq!(get(&mut Probe::new(), 8, "host"), Err(Status::BadArgument));
    }

    #[test]
    fn the_response_of_a_call_can_be_read_and_not_written() {
        let mut probe = Probe::without_request();
        probe.store.data_mut().incoming.http_call = Some(HttpCallResponse {
            headers: PairsBuf::from_iter([(":status", "200"), ("server", "nginx")]),
            ..HttpCallResponse::default()
        });
        assert_eq!(names(&mut probe, CALL_HEADERS), ":status=200 server=nginx ");
        assert_eq!(get(&mut probe, CALL_HEADERS, "Server"), Ok(b"nginx".to_vec()));
        assert_eq!(remove(&mut probe, CALL_HEADERS, "server"), Status::BadArgument);
    }
}
