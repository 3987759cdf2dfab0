//! Spec, "HTTP fields": the map of the response's trailers.
//!
//! nginx sends the trailers that its list has when the body ends. It never keeps a request's
//! trailers, so the request has no such map.

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::Result;
use proxy_wasm_host::pairs::Pairs;

use super::OrStatus;
use crate::context::RequestStream;

/// Returns the number of trailers. The callback gets it as `num_trailers`.
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

/// Sets all trailers or none, as with headers.
pub fn set(stream: &RequestStream, pairs: Pairs<'_>) -> Result {
    pairs.iter().try_for_each(|(name, _)| check(stream, name))?;
    clear(stream.request());
    pairs.iter().try_for_each(|(name, value)| add(stream, name, value))
}

/// Removes the trailers of a response that is being replaced.
pub fn clear(request: Request) {
    request.trailers_out().iter().for_each(Field::hide);
}

fn check(stream: &RequestStream, name: &[u8]) -> Result {
    if name.starts_with(b":") {
        stream.log_refusal("response trailer", name, "trailers have no pseudo headers");
        return Err(Status::BadArgument);
    }
    Ok(())
}

/// Whether a field frames the message. Such a field must come before the body (RFC 9110, 6.5.1),
/// and nginx alone sets it.
fn is_framing(name: &[u8]) -> bool {
    [&b"content-length"[..], b"transfer-encoding", b"trailer"].iter().any(|framing| framing.eq_ignore_ascii_case(name))
}
