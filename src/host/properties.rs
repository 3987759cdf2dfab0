//! Spec, "Properties". A path of one segment is an nginx variable. The well-known paths are Envoy's
//! attributes, in their types: strings as bytes, integers as 8 bytes and booleans as 1,
//! little-endian; times and durations are integers of nanoseconds.
//!
//! `t/docs.t` compares the names in these files with the tables of `docs/proxy-wasm.md`.

mod connection;
mod request;
mod response;
mod upstream;
mod value;
mod xds;

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use ngx_bindings::variables::SetError;
use proxy_wasm_host::Dialect;
use proxy_wasm_host::abi::{MapType, Status};
use proxy_wasm_host::host::{Properties, Result};
use proxy_wasm_host::property::PropertyPath;

use self::connection::{of_connection, of_destination, of_source};
use self::request::of_request;
use self::response::of_response;
use self::upstream::of_upstream;
pub use self::value::Value;
use self::value::{int, variable};
use self::xds::{of_one_segment, of_xds};
use super::headers::{joined_request_field, joined_response_field, joined_trailer, serialized, text_size};
use crate::context::{BodyOf, RequestStream};

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
            self.ctx().allow_read(self.slot().memory(), size).map_err(|_| Status::NotFound)?;
        }
        Ok(value.or_else(|| self.of_stream(path)))
    }

    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result {
        let request = self.request();
        let is_kept = self.slot().dialect() == Dialect::Envoy;
        let Some(name) = variable_name(path) else {
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
    /// What only the plugin's own view of the request has: whole maps, and what plugins have set.
    fn of_stream(&self, path: PropertyPath<'_>) -> Value<'_> {
        let map = |map| Some(Cow::Owned(serialized(self, map)));
        let size = |map| int(text_size(self, map));
        match path.as_bytes() {
            b"request\0headers" => map(MapType::HttpRequestHeaders),
            b"request\0headers_bytes" => size(MapType::HttpRequestHeaders),
            b"response\0headers" => map(MapType::HttpResponseHeaders),
            b"response\0headers_bytes" => size(MapType::HttpResponseHeaders),
            b"response\0trailers" => map(MapType::HttpResponseTrailers),
            path => {
                let kept = |path: &[u8]| self.ctx().rare.get()?.properties.get(path).map(Cow::Owned);
                kept(path).or_else(|| kept(path.strip_prefix(b"filter_state\0wasm.")?))
            }
        }
    }

    /// Keeps a property for the plugins of the request.
    fn keep(&self, path: PropertyPath<'_>, value: &[u8]) -> Result {
        self.allow(path.as_bytes(), value)?;
        // The name that the path has in variables.
        self.allow(path.as_bytes(), b"")?;
        self.ctx().rare.make().properties.set(path.as_bytes(), value);
        Ok(())
    }
}

/// The variable that a path stands for: `NAME`, or Kong's `ngx.NAME`.
fn variable_name<'a>(path: PropertyPath<'a>) -> Option<&'a [u8]> {
    path.single().or_else(|| PropertyPath::new(path.as_bytes().strip_prefix(b"ngx\0")?).single())
}

/// Returns a property of a request, as any plugin sees it.
pub fn property<'r>(request: Request<'r>, path: PropertyPath<'_>) -> Value<'r> {
    if let Some(name) = path.single() {
        return variable(request, name).or_else(|| of_one_segment(request, name));
    }
    let mut segments = path.segments();
    let (first, second, third) = (segments.next(), segments.next(), segments.next());
    if segments.next().is_some() {
        return None;
    }
    match (first.unwrap_or_default(), second.unwrap_or_default(), third) {
        (b"request", name, None) => of_request(request, name),
        (b"request", b"headers", Some(name)) => joined_request_field(request, name),
        (b"response", name, None) => of_response(request, name),
        (b"response", b"headers", Some(name)) => joined_response_field(request, name),
        (b"response", b"trailers", Some(name)) => joined_trailer(request, name),
        (b"source", name, None) => of_source(request, name),
        (b"destination", name, None) => of_destination(request, name),
        (b"connection", name, None) => of_connection(request, name),
        (b"upstream", name, None) => of_upstream(request, name),
        (b"xds", name, None) => of_xds(request, name),
        (b"ngx", name, None) => variable(request, name),
        _ => None,
    }
}
