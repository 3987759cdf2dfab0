//! Spec, "HTTP fields": the map of the response's trailers.
//!
//! nginx sends what its list holds when the body ends. Those of a request it never keeps: there is no map of them.

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use proxy_wasm_host::host::Result;
use proxy_wasm_host::pairs::Pairs;

use super::OrStatus;
use super::headers::refuse;

/// How many there are: `num_trailers` of the callback.
pub fn trailer_count(request: Request) -> u32 {
    u32::try_from(request.trailers_out().iter().count()).unwrap_or(u32::MAX)
}

pub fn add(request: Request, name: &[u8], value: &[u8]) -> Result {
    check(request, name)?;
    if !is_framing(name) {
        request.trailers_out().push_response_field(request.pool(), name, value).or_status()?;
        request.expect_trailers();
    }
    Ok(())
}

pub fn replace(request: Request, name: &[u8], value: &[u8]) -> Result {
    check(request, name)?;
    remove(request, name);
    add(request, name, value)
}

pub fn remove(request: Request, name: &[u8]) {
    request.trailers_out().iter().filter(|field| field.is(name)).for_each(Field::hide);
}

/// All or nothing, as with headers.
pub fn set(request: Request, pairs: Pairs<'_>) -> Result {
    pairs.iter().try_for_each(|(name, _)| check(request, name))?;
    clear(request);
    pairs.iter().try_for_each(|(name, value)| add(request, name, value))
}

/// Drops the trailers of a response that another takes the place of.
pub fn clear(request: Request) {
    request.trailers_out().iter().for_each(Field::hide);
}

fn check(request: Request, name: &[u8]) -> Result {
    if name.starts_with(b":") {
        return Err(refuse(request, "response trailer", name, "trailers have no pseudo headers"));
    }
    Ok(())
}

/// What frames a message stands before it (RFC 9110, 6.5.1), and is nginx's to say.
fn is_framing(name: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding", b"trailer"].iter().any(|framing| framing.eq_ignore_ascii_case(name))
}
