//! Spec, "Properties". A path of one segment is an nginx variable. The well-known paths are Envoy's
//! attributes, in their types: strings as bytes, integers as 8 bytes and booleans as 1,
//! little-endian; times and durations are integers of nanoseconds.

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use ngx_bindings::variables::SetError;
use proxy_wasm_host::Dialect;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{Properties, Result};
use proxy_wasm_host::property::PropertyPath;

use super::headers::{request_field, response_field};
use crate::context::{BodyOf, RequestStream};

/// The value of a property, if the property exists.
pub type Value<'a> = Option<Cow<'a, [u8]>>;

impl Properties for RequestStream {
    fn property(&mut self, path: PropertyPath<'_>) -> Result<Value<'_>> {
        let request = self.request();
        let before = request.pool().mark();
        let value = property(request, path);
        // nginx evaluates a variable anew each time, in the pool, unless the configuration names
        // the variable. It takes some bytes for one that does not exist, too.
        if request.pool().mark() != before {
            let size = value.as_ref().map_or(0, |value| value.len());
            // NotFound is the only status besides OK that makes no plugin panic.
            self.ctx().allowance.take_read(self.slot().memory(), size).map_err(|_| Status::NotFound)?;
        }
        Ok(value.or_else(|| self.ctx().properties.get(path.as_bytes()).map(Cow::Owned)))
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result {
        let request = self.request();
        let is_kept = self.slot().dialect() == Dialect::Envoy;
        let Some(name) = path.single() else {
            return if is_kept { self.keep(path, value) } else { Err(Status::NotFound) };
        };
        let asked = match name {
            b"wasm_process_req_body" => Some(BodyOf::Request),
            b"wasm_process_resp_body" => Some(BodyOf::Response),
            _ => None,
        };
        if let Some(body) = asked {
            self.slot().ask_for_body(body, !value.is_empty());
        }
        let refuse = |reason: &str, status: Status| {
            request.log().print(Level::Error, format_args!("variable \"{}\" {reason}", name.escape_ascii()));
            Err(status)
        };
        self.allow(name, value)?;
        match request.set_variable(name, value) {
            Ok(()) => Ok(()),
            // The variables of these names are APISIX's. Without APISIX the plugin's wish counts
            // all the same.
            Err(SetError::NotFound) if asked.is_some() => Ok(()),
            Err(SetError::NotFound) if is_kept => self.keep(path, value),
            Err(SetError::NotFound) => refuse("not found for writing", Status::NotFound),
            Err(SetError::NotChangeable) => refuse("not changeable", Status::BadArgument),
            // Plugins set properties to values that clients sent, and SDKs panic on most other
            // statuses.
            Err(SetError::Unsafe) => {
                let (name, plugin) = (name.escape_ascii(), self.slot().plugin_name());
                let reason = "its value holds CR, LF or NUL";
                let line = format_args!("variable \"{name}\" not set: {reason}, plugin: \"{plugin}\"");
                request.log().print(Level::Error, line);
                Ok(())
            }
            Err(SetError::Alloc) => Err(Status::InternalFailure),
        }
    }
}

impl RequestStream {
    /// Keeps a property for the plugins of the request.
    fn keep(&self, path: PropertyPath<'_>, value: &[u8]) -> Result {
        self.allow(path.as_bytes(), value)?;
        // The name that the path has in variables.
        self.allow(path.as_bytes(), b"")?;
        self.ctx().properties.set(path.as_bytes(), value);
        Ok(())
    }
}

/// Returns a property of a request, as any plugin sees it.
pub fn property<'r>(request: Request<'r>, path: PropertyPath<'_>) -> Value<'r> {
    if let Some(name) = path.single() {
        return variable(request, name);
    }
    let mut segments = path.segments();
    let (first, second, third) = (segments.next(), segments.next(), segments.next());
    if segments.next().is_some() {
        return None;
    }
    match (first.unwrap_or_default(), second.unwrap_or_default(), third) {
        (b"request", name, None) => of_request(request, name),
        (b"request", b"headers", Some(name)) => request_field(request, name).map(Cow::Borrowed),
        (b"response", name, None) => of_response(request, name),
        (b"response", b"headers", Some(name)) => response_field(request, name),
        (b"source", b"address", None) => address(request, b"remote_addr", b"remote_port"),
        (b"source", b"port", None) => integer(request, b"remote_port"),
        (b"destination", b"address", None) => address(request, b"server_addr", b"server_port"),
        (b"destination", b"port", None) => integer(request, b"server_port"),
        (b"connection", name, None) => of_connection(request, name),
        (b"upstream", name, None) => of_upstream(request, name),
        _ => None,
    }
}

fn of_request<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    let bytes = |value: &'r [u8]| Some(Cow::Borrowed(value));
    match name {
        b"path" => bytes(request.unparsed_uri()),
        b"url_path" => bytes(request.unparsed_uri().split(|&c| c == b'?').next()?),
        b"query" => bytes(request.args()),
        b"host" => request_field(request, b":authority").map(Cow::Borrowed),
        b"scheme" => bytes(request.scheme()),
        b"method" => bytes(request.method()),
        b"referer" => request_field(request, b"referer").map(Cow::Borrowed),
        b"useragent" => request_field(request, b"user-agent").map(Cow::Borrowed),
        b"id" => variable(request, b"request_id"),
        b"protocol" => variable(request, b"server_protocol"),
        b"time" => nanoseconds(request, b"msec")
            .zip(nanoseconds(request, b"request_time"))
            .and_then(|(now, took)| int(now - took)),
        b"duration" => nanoseconds(request, b"request_time").and_then(int),
        b"size" => int(variable(request, b"content_length").as_deref().and_then(parse).unwrap_or(0)),
        b"total_size" => integer(request, b"request_length"),
        _ => None,
    }
}

fn of_response<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"code" => integer(request, b"status").filter(|_| request.status() != 0),
        b"size" => integer(request, b"body_bytes_sent"),
        b"total_size" => integer(request, b"bytes_sent"),
        b"grpc_status" => response_field(request, b"grpc-status").as_deref().and_then(parse).and_then(int),
        b"backend_latency" => nanoseconds(request, b"upstream_response_time").and_then(int),
        _ => None,
    }
}

fn of_connection<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"id" => integer(request, b"connection"),
        b"mtls" => {
            Some(Cow::Owned(vec![u8::from(variable(request, b"ssl_client_verify").as_deref() == Some(b"SUCCESS"))]))
        }
        b"requested_server_name" => variable(request, b"ssl_server_name"),
        b"tls_version" => variable(request, b"ssl_protocol"),
        b"subject_peer_certificate" => variable(request, b"ssl_client_s_dn"),
        _ => None,
    }
}

/// Read through variables only, because nginx and OpenResty of one version lay out their upstream
/// structures differently.
fn of_upstream<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"address" => variable(request, b"upstream_addr"),
        b"port" => variable(request, b"upstream_addr")?.rsplit(|&c| c == b':').next().and_then(parse).and_then(int),
        _ => None,
    }
}

fn variable<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    request.variable(name).map(Cow::Borrowed)
}

fn integer<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    parse(request.variable(name)?).and_then(int)
}

fn int(value: i64) -> Value<'static> {
    Some(Cow::Owned(value.to_le_bytes().to_vec()))
}

fn parse(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads one of nginx's times, which are seconds with three decimals.
fn nanoseconds(request: Request, name: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(request.variable(name)?).ok()?;
    let (seconds, milliseconds) = text.split_once('.')?;
    Some((seconds.parse::<i64>().ok()? * 1_000 + milliseconds.parse::<i64>().ok()?) * 1_000_000)
}

fn address<'r>(request: Request<'r>, host: &[u8], port: &[u8]) -> Value<'r> {
    let host = request.variable(host)?;
    match request.variable(port) {
        // An IPv6 address stands in brackets, as in a URI.
        Some(port) if host.contains(&b':') && !host.starts_with(b"unix:") => {
            Some(Cow::Owned([b"[", host, b"]:", port].concat()))
        }
        Some(port) if !port.is_empty() => Some(Cow::Owned([host, b":", port].concat())),
        _ => Some(Cow::Borrowed(host)),
    }
}
