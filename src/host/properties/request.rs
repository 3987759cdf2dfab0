//! `request.*`.

use std::borrow::Cow;

use ngx_bindings::Request;

use super::value::{Value, int, integer, nanoseconds, parse, text, variable};
use crate::host::headers::request_field;

pub fn of_request<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    let bytes = |value: &'r [u8]| Some(Cow::Borrowed(value));
    match name {
        b"path" => Some(request.target()),
        b"url_path" => Some(before_arguments(request.target())),
        b"query" => bytes(request.args()),
        b"host" => request_field(request, b":authority"),
        b"scheme" => bytes(request.scheme()),
        b"method" => bytes(request.method()),
        b"referer" => request_field(request, b"referer"),
        b"useragent" => request_field(request, b"user-agent"),
        b"id" => variable(request, b"request_id"),
        b"protocol" => protocol(request),
        b"time" => {
            let (now, took) = (variable(request, b"msec")?, variable(request, b"request_time")?);
            int(nanoseconds(&now)? - nanoseconds(&took)?)
        }
        b"duration" => nanoseconds(request.variable(b"request_time")?).and_then(int),
        b"size" => int(variable(request, b"content_length").as_deref().and_then(parse).unwrap_or(0)),
        b"total_size" => integer(request, b"request_length"),
        _ => None,
    }
}

fn before_arguments(target: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
    match target {
        Cow::Borrowed(target) => Cow::Borrowed(&target[..end]),
        Cow::Owned(mut target) => {
            target.truncate(end);
            Cow::Owned(target)
        }
    }
}

/// nginx writes `HTTP/2.0` where Envoy writes `HTTP/2`.
fn protocol(request: Request) -> Value {
    match request.variable(b"server_protocol")? {
        b"HTTP/2.0" => text("HTTP/2"),
        b"HTTP/3.0" => text("HTTP/3"),
        other => Some(Cow::Borrowed(other)),
    }
}
