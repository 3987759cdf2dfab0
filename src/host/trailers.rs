//! Spec, "HTTP fields": the map of the response's trailers.
//!
//! nginx sends what its list holds when the body ends. Those of a request it never keeps: there is no map of them.

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use proxy_wasm_host::host::Result;
use proxy_wasm_host::pairs::Pairs;

use super::OrStatus;
use crate::context::RequestStream;

/// How many there are: `num_trailers` of the callback.
pub fn trailer_count(request: Request) -> u32 {
    u32::try_from(request.trailers_out().iter().count()).unwrap_or(u32::MAX)
}

pub fn add(stream: &RequestStream, name: &[u8], value: &[u8]) -> Result {
    check(stream, name)?;
    let request = stream.request();
    if !is_framing(name) {
        request.trailers_out().push_response_field(request.pool(), name, value).or_status()?;
        request.expect_trailers();
    }
    Ok(())
}

pub fn replace(stream: &RequestStream, name: &[u8], value: &[u8]) -> Result {
    check(stream, name)?;
    remove(stream.request(), name);
    add(stream, name, value)
}

pub fn remove(request: Request, name: &[u8]) {
    request.trailers_out().iter().filter(|field| field.is(name)).for_each(Field::hide);
}

/// All or nothing, as with headers.
pub fn set(stream: &RequestStream, pairs: Pairs<'_>) -> Result {
    pairs.iter().try_for_each(|(name, _)| check(stream, name))?;
    clear(stream.request());
    pairs.iter().try_for_each(|(name, value)| add(stream, name, value))
}

/// Drops the trailers of a response that another takes the place of.
pub fn clear(request: Request) {
    request.trailers_out().iter().for_each(Field::hide);
}

fn check(stream: &RequestStream, name: &[u8]) -> Result {
    if name.starts_with(b":") {
        return Err(stream.refuse("response trailer", name, "trailers have no pseudo headers"));
    }
    Ok(())
}

/// What frames a message stands before it (RFC 9110, 6.5.1), and is nginx's to say.
fn is_framing(name: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding", b"trailer"].iter().any(|framing| framing.eq_ignore_ascii_case(name))
}
