//! `response.*`.

use std::borrow::Cow;

use ngx_bindings::Request;

use super::upstream::Failure;
use super::value::{Value, int, integer, last, nanoseconds, owned, parse, text};
use crate::context::RequestContext;
use crate::host::headers::response_field;

pub fn of_response<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"code" => integer(request, b"status").filter(|_| request.status() != 0),
        b"code_details" => code_details(request),
        b"flags" => int(flags(request)),
        b"grpc_status" => grpc_status(request).and_then(int),
        b"size" => integer(request, b"body_bytes_sent"),
        b"total_size" => integer(request, b"bytes_sent"),
        b"backend_latency" => nanoseconds(last(request.variable(b"upstream_response_time")?)).and_then(int),
        _ => None,
    }
}

/// Why the response has its status, in Envoy's words.
fn code_details(request: Request) -> Value {
    if request.status() == 0 {
        return None;
    }
    let given = RequestContext::of_ended(request).and_then(|ctx| ctx.answer_details());
    match (given, Failure::of(request)) {
        (Some(details), _) => owned(details),
        (None, Some(failure)) => text(failure.details()),
        (None, None) if request.variable(b"upstream_status").is_some() => text("via_upstream"),
        (None, None) => text("direct_response"),
    }
}

/// Envoy's bits for what nginx can tell of them.
fn flags(request: Request) -> i64 {
    const RATE_LIMITED: i64 = 0x800;
    const CLIENT_GONE: i64 = 0x4000;
    let is_rejected = |name: &[u8]| request.variable(name) == Some(b"REJECTED");
    let mut flags = Failure::of(request).map_or(0, Failure::flag);
    if is_rejected(b"limit_req_status") || is_rejected(b"limit_conn_status") {
        flags |= RATE_LIMITED;
    }
    if request.status() == 499 {
        flags |= CLIENT_GONE;
    }
    flags
}

/// The status that a trailer or a field has, else the one that stands for the response's own status:
/// gRPC's "HTTP to gRPC Status Code Mapping".
fn grpc_status(request: Request) -> Option<i64> {
    let trailer = request.trailers_out().find(b"grpc-status").map(|field| Cow::Borrowed(field.value()));
    if let Some(status) = trailer.or_else(|| response_field(request, b"grpc-status")) {
        return parse(&status);
    }
    match request.status() {
        0 => None,
        400 => Some(13),
        401 => Some(16),
        403 => Some(7),
        404 => Some(12),
        429 | 502 | 503 | 504 => Some(14),
        _ => Some(2),
    }
}
