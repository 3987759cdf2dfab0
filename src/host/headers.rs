//! Spec, "HTTP fields": the maps of the request and the response.
//!
//! The request's map has nginx's list, with names in lower case, then `:scheme`, `:path`,
//! `:method`, `:authority`. The response's map has nginx's list, then the fields that nginx keeps
//! elsewhere (`last-modified` of a file, `content-type`, `content-length`, `connection`,
//! `transfer-encoding`), then `:status`.

mod request;
mod response;

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use ngx_bindings::log::Level;
use proxy_wasm_host::Dialect;
use proxy_wasm_host::abi::{MapType, Status};
use proxy_wasm_host::host::{HeaderMaps, Result};
use proxy_wasm_host::pairs::{Pairs, PairsBuf};

use self::request::{each_request_field, is_single, request_count};
use self::response::{add_response, each_response_field, remove_response, response_count, set_response, status_of};
use super::{OrStatus, trailers};
use crate::context::RequestStream;

pub use self::request::request_field;
pub use self::response::{add_responses, response_field};

/// Returns the number of fields in the request's or the response's map, with the pseudo headers.
/// Callbacks get it as `num_headers`.
pub fn header_count(request: Request, map: MapType, dialect: Dialect) -> u32 {
    let count =
        if map == MapType::HttpRequestHeaders { request_count(request, dialect) } else { response_count(request) };
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The values of a request field, joined by commas.
pub fn joined_request_field<'r>(request: Request<'r>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
    joined(request.headers_in().iter(), name).or_else(|| request_field(request, name))
}

/// The values of a response field, joined by commas.
pub fn joined_response_field<'r>(request: Request<'r>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
    joined(request.headers_out().iter(), name).or_else(|| response_field(request, name))
}

/// The values of a trailer of the response, joined by commas.
pub fn joined_trailer<'r>(request: Request<'r>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
    joined(request.trailers_out().iter(), name)
}

fn joined<'r>(fields: impl Iterator<Item = Field<'r>>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
    let mut values = fields.filter(|field| field.is(name)).map(Field::value);
    let mut joined = Cow::Borrowed(values.next()?);
    for value in values {
        joined.to_mut().push(b',');
        joined.to_mut().extend_from_slice(value);
    }
    Some(joined)
}

/// A whole map as plugins see it, in the ABI's format for maps. A map that is not available is
/// empty.
pub fn serialized(stream: &RequestStream, map: MapType) -> Vec<u8> {
    let mut pairs = PairsBuf::new();
    let _ = stream.for_each_header(map, &mut |name, value| pairs.push(name, value));
    pairs.to_bytes()
}

/// The bytes of all names and values of a map.
pub fn text_size(stream: &RequestStream, map: MapType) -> i64 {
    let mut size = 0;
    let _ = stream.for_each_header(map, &mut |name, value| size += name.len() + value.len());
    size as i64
}

impl HeaderMaps for RequestStream {
    fn for_each_header(&self, map: MapType, field: &mut dyn FnMut(&[u8], &[u8])) -> Result {
        match map {
            MapType::HttpRequestHeaders => each_request_field(self.request(), self.dialect(), self.scheme(), field),
            MapType::HttpResponseHeaders if self.has_response() => each_response_field(self.request(), field),
            MapType::HttpResponseTrailers => {
                for trailer in self.request().trailers_out().iter() {
                    with_lowcase_name(trailer, |name| field(name, trailer.value()));
                }
            }
            _ => return Err(Status::NotFound),
        }
        Ok(())
    }

    fn header(&self, map: MapType, name: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
        let request = self.request();
        match map {
            MapType::HttpRequestHeaders if name == b":scheme" => Ok(Some(Cow::Borrowed(self.scheme()))),
            MapType::HttpRequestHeaders => Ok(request_field(request, name)),
            MapType::HttpResponseHeaders if self.has_response() => Ok(response_field(request, name)),
            MapType::HttpResponseTrailers => {
                Ok(request.trailers_out().find(name).map(|field| Cow::Borrowed(field.value())))
            }
            _ => Err(Status::NotFound),
        }
    }

    fn add_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result {
        self.allow(name, value)?;
        match map {
            MapType::HttpRequestHeaders if is_single(name) => self.set_request(name, value),
            MapType::HttpRequestHeaders => self.request().add_header_in(name, value).or_status(),
            MapType::HttpResponseHeaders if name.starts_with(b":") => set_response(self, name, value),
            MapType::HttpResponseHeaders => {
                self.ctx().response.validators.note(self.request(), name, value);
                add_response(self.request(), name, value).or_status()
            }
            MapType::HttpResponseTrailers => trailers::add(self, name, value),
            _ => Err(Status::NotFound),
        }
    }

    fn replace_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result {
        self.allow(name, value)?;
        match map {
            MapType::HttpRequestHeaders => self.set_request(name, value),
            MapType::HttpResponseHeaders => {
                self.ctx().response.validators.note(self.request(), name, value);
                set_response(self, name, value)
            }
            MapType::HttpResponseTrailers => trailers::replace(self, name, value),
            _ => Err(Status::NotFound),
        }
    }

    fn remove_header(&mut self, map: MapType, name: &[u8]) -> Result {
        let request = self.request();
        match map {
            MapType::HttpResponseHeaders if name.starts_with(b":") => {
                self.refuse("response", name, "can't remove pseudo header")
            }
            MapType::HttpRequestHeaders => self.remove_request(name),
            MapType::HttpResponseHeaders => remove_response(request, name),
            MapType::HttpResponseTrailers => {
                trailers::remove(request, name);
                Ok(())
            }
            _ => Err(Status::NotFound),
        }
    }

    /// Pseudo headers are checked before anything changes, so a map is set as a whole or not at
    /// all.
    fn set_headers(&mut self, map: MapType, pairs: Pairs<'_>) -> Result {
        let request = self.request();
        pairs.iter().try_for_each(|(name, value)| self.allow(name, value))?;
        match map {
            MapType::HttpRequestHeaders => self.set_requests(pairs)?,
            MapType::HttpResponseHeaders => {
                let mut pseudo = pairs.iter().filter(|(name, _)| name.starts_with(b":"));
                let status = pseudo.try_fold(None, |_, (name, value)| status_of(self, name, value))?;
                self.ctx().response.validators.note_all(request, pairs.iter());
                request.clear_headers_out().or_status()?;
                request.set_content_type(b"").or_status()?;
                if let Some(status) = status {
                    request.set_status(status);
                }
                add_responses(request, pairs.iter().filter(|(name, _)| !name.starts_with(b":"))).or_status()?;
            }
            MapType::HttpResponseTrailers => trailers::set(self, pairs)?,
            _ => return Err(Status::NotFound),
        }
        Ok(())
    }
}

impl RequestStream {
    /// The host whose answers the plugin gets.
    pub(super) fn dialect(&self) -> Dialect {
        self.slot().dialect()
    }

    /// Whether there is a response that the plugin may read.
    fn has_response(&self) -> bool {
        self.dialect() == Dialect::CModule || self.ctx().response.state.has_begun()
    }

    /// Logs why a field was not changed. The status is the C module's; in Envoy every change is OK,
    /// and SDKs panic on other statuses.
    pub(super) fn refuse(&self, of: &str, name: &[u8], reason: &str) -> Result {
        self.log_refusal(of, name, reason);
        if self.dialect() == Dialect::CModule { Err(Status::BadArgument) } else { Ok(()) }
    }

    /// Logs, in the request's log, why a field was not changed.
    pub(super) fn log_refusal(&self, of: &str, name: &[u8], reason: &str) {
        let (name, plugin) = (name.escape_ascii(), self.slot().plugin_name());
        let line = format_args!("failed to set {of} header {name}: {reason}, plugin: \"{plugin}\"");
        self.request().log().print(Level::Error, line);
    }
}

fn with_lowcase_name(header: Field, body: impl FnOnce(&[u8])) {
    let name = header.name();
    let mut small = [0; 64];
    match small.get_mut(..name.len()) {
        Some(lowcase) => {
            lowcase.copy_from_slice(name);
            lowcase.make_ascii_lowercase();
            body(lowcase);
        }
        None => body(&name.to_ascii_lowercase()),
    }
}
