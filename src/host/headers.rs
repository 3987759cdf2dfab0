//! Spec, "HTTP fields": the maps of the request and the response.
//!
//! Request: the list, with names in lower case, then `:scheme`, `:path`, `:method`, `:authority`. Response: the list, then what
//! nginx keeps elsewhere (`last-modified` of a file, `content-type`, `content-length`, `connection`, `transfer-encoding`), then `:status`.

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use proxy_wasm_host::abi::{MapType, Status};
use proxy_wasm_host::host::{HeaderMaps, Result};
use proxy_wasm_host::pairs::Pairs;

use super::{OrStatus, RequestStream, trailers};

/// How many fields the request's or the response's map has, pseudo headers among them: `num_headers` of the callbacks.
pub fn header_count(request: Request, map: MapType) -> u32 {
    let count = if map == MapType::HttpRequestHeaders {
        let authority = !request.host().is_empty() || request_field(request, b":authority").is_some();
        request.headers_in().iter().count() + PSEUDO_REQUEST_FIELDS.len() - usize::from(!authority)
    } else {
        // What is only counted is not written out.
        request.headers_out().iter().count()
            + 2 // `connection` and `:status`
            + usize::from(!request.content_type().is_empty())
            + usize::from(request.has_last_modified_time())
            + usize::from(request.content_length().is_some())
            + usize::from(request.chunked())
    };
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// What a request's map has besides the list.
const PSEUDO_REQUEST_FIELDS: [&[u8]; 4] = [b":scheme", b":path", b":method", b":authority"];

impl HeaderMaps for RequestStream {
    fn for_each_header(&self, map: MapType, field: &mut dyn FnMut(&[u8], &[u8])) -> Result {
        each(self.request(), map, field)
    }

    fn header(&self, map: MapType, name: &[u8]) -> Result<Option<Cow<'_, [u8]>>> {
        let request = self.request();
        match map {
            MapType::HttpRequestHeaders => Ok(request_field(request, name).map(Cow::Borrowed)),
            MapType::HttpResponseHeaders => Ok(response_field(request, name)),
            MapType::HttpResponseTrailers => {
                Ok(request.trailers_out().find(name).map(|field| Cow::Borrowed(field.value())))
            }
            _ => Err(Status::NotFound),
        }
    }

    fn add_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result {
        self.allow(name, value)?;
        match map {
            MapType::HttpRequestHeaders if is_single(name) => set_request(self.request(), name, value),
            MapType::HttpRequestHeaders => self.request().add_header_in(name, value).or_status(),
            MapType::HttpResponseHeaders if name.starts_with(b":") => set_response(self.request(), name, value),
            MapType::HttpResponseHeaders => {
                self.ctx().response.validators.note(self.request(), name, value);
                add_response(self.request(), name, value).or_status()
            }
            MapType::HttpResponseTrailers => trailers::add(self.request(), name, value),
            _ => Err(Status::NotFound),
        }
    }

    fn replace_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result {
        self.allow(name, value)?;
        match map {
            MapType::HttpRequestHeaders => set_request(self.request(), name, value),
            MapType::HttpResponseHeaders => {
                self.ctx().response.validators.note(self.request(), name, value);
                set_response(self.request(), name, value)
            }
            MapType::HttpResponseTrailers => trailers::replace(self.request(), name, value),
            _ => Err(Status::NotFound),
        }
    }

    fn remove_header(&mut self, map: MapType, name: &[u8]) -> Result {
        let request = self.request();
        match map {
            MapType::HttpRequestHeaders if name.starts_with(b":") => {
                Err(refuse(request, "request", name, "can't remove pseudo header"))
            }
            MapType::HttpResponseHeaders if name.starts_with(b":") => {
                Err(refuse(request, "response", name, "can't remove pseudo header"))
            }
            MapType::HttpRequestHeaders => request.remove_header_in(name).or_status(),
            MapType::HttpResponseHeaders => remove_response(request, name),
            MapType::HttpResponseTrailers => {
                trailers::remove(request, name);
                Ok(())
            }
            _ => Err(Status::NotFound),
        }
    }

    /// Pseudo headers are looked at before anything changes: a map is set as a whole or not at all.
    fn set_headers(&mut self, map: MapType, pairs: Pairs<'_>) -> Result {
        let request = self.request();
        pairs.iter().try_for_each(|(name, value)| self.allow(name, value))?;
        match map {
            MapType::HttpRequestHeaders => {
                let mut settable = pairs.iter().filter(|(name, _)| *name != b":scheme");
                settable.try_for_each(|(name, value)| check_request(request, name, value))?;
                request.clear_headers_in().or_status()?;
                // First, while there is nothing else that one of them, said again, would have to be looked for in.
                for (name, value) in pairs.iter().filter(|(name, _)| is_single(name) && *name != b":scheme") {
                    set_request(request, name, value)?;
                }
                request.add_headers_in(pairs.iter().filter(|(name, _)| !is_single(name))).or_status()?;
            }
            MapType::HttpResponseHeaders => {
                let mut pseudo = pairs.iter().filter(|(name, _)| name.starts_with(b":"));
                let status = pseudo.try_fold(None, |_, (name, value)| status_of(request, name, value).map(Some))?;
                self.ctx().response.validators.note_all(request, pairs.iter());
                request.clear_headers_out().or_status()?;
                request.set_content_type(b"").or_status()?;
                if let Some(status) = status {
                    request.set_status(status);
                }
                add_responses(request, pairs.iter().filter(|(name, _)| !name.starts_with(b":"))).or_status()?;
            }
            MapType::HttpResponseTrailers => trailers::set(request, pairs)?,
            _ => return Err(Status::NotFound),
        }
        Ok(())
    }
}

fn each(request: Request, map: MapType, field: &mut dyn FnMut(&[u8], &[u8])) -> Result {
    match map {
        MapType::HttpRequestHeaders => {
            for header in request.headers_in().iter() {
                match header.lowcase_request_name() {
                    Some(name) => field(name, header.value()),
                    None => with_lowcase_name(header, |name| field(name, header.value())),
                }
            }
            for name in PSEUDO_REQUEST_FIELDS {
                if let Some(value) = request_field(request, name) {
                    field(name, value);
                }
            }
            Ok(())
        }
        MapType::HttpResponseHeaders => {
            for header in request.headers_out().iter() {
                with_lowcase_name(header, |name| field(name, header.value()));
            }
            each_special_response_field(request, field);
            Ok(())
        }
        MapType::HttpResponseTrailers => {
            for trailer in request.trailers_out().iter() {
                with_lowcase_name(trailer, |name| field(name, trailer.value()));
            }
            Ok(())
        }
        _ => Err(Status::NotFound),
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

pub fn request_field<'a>(request: Request, name: &[u8]) -> Option<&'a [u8]> {
    if !name.starts_with(b":") {
        return request.headers_in().find_request_field(name).map(Field::value);
    }
    match name {
        b":scheme" => Some(request.scheme()),
        b":path" => Some(request.unparsed_uri()),
        b":method" => Some(request.method()),
        // HTTP/1.0 may come without.
        b":authority" => request
            .headers_in()
            .find_request_field(b"host")
            .map(Field::value)
            .or_else(|| Some(request.host()).filter(|h| !h.is_empty())),
        _ => None,
    }
}

/// Names that a request has once.
fn is_single(name: &[u8]) -> bool {
    name.starts_with(b":")
        || [&b"host"[..], b"content-length", b"content-type"].iter().any(|single| single.eq_ignore_ascii_case(name))
}

/// Refuses what a request field cannot be.
fn check_request(request: Request, name: &[u8], value: &[u8]) -> Result {
    let refuse = |reason: &str| Err(refuse(request, "request", name, reason));
    let invalid_char = |invalid: u8| refuse(&format!("invalid char \"{}\"", [invalid].escape_ascii()));
    match name {
        b":scheme" => refuse("read only"),
        b":method" => match value.iter().find(|c| !c.is_ascii_alphabetic()) {
            Some(&invalid) => invalid_char(invalid),
            None if value.is_empty() => refuse("empty value"),
            None => Ok(()),
        },
        b":path" => match value.iter().find(|&&c| c <= b' ' || c == 0x7f) {
            Some(&invalid) => invalid_char(invalid),
            None if value.is_empty() => refuse("invalid value"),
            None => Ok(()),
        },
        b":authority" => Ok(()),
        _ if name.starts_with(b":") => refuse("unknown pseudo header"),
        _ => Ok(()),
    }
}

fn set_request(request: Request, name: &[u8], value: &[u8]) -> Result {
    check_request(request, name, value)?;
    match name {
        b":method" => request.set_method(value).or_status(),
        // Without a slash in front, too: the C module takes it, and plugins may count on that.
        b":path" if request.set_path(value).or_status()? => Ok(()),
        b":path" => Err(refuse(request, "request", name, "invalid value")),
        b":authority" => request.set_header_in(b"host", value).or_status(),
        _ => request.set_header_in(name, value).or_status(),
    }
}

pub fn response_field<'a>(request: Request, name: &[u8]) -> Option<Cow<'a, [u8]>> {
    match request.headers_out().find(name) {
        Some(field) => Some(Cow::Borrowed(field.value())),
        None => special_response_field(request, name),
    }
}

/// Fields that nginx keeps outside the list, in the order that plugins see them in.
fn each_special_response_field(request: Request, field: &mut dyn FnMut(&[u8], &[u8])) {
    let mut digits = itoa::Buffer::new();
    if let Some(time) = request.last_modified() {
        field(b"last-modified", &time);
    }
    if !request.content_type().is_empty() {
        field(b"content-type", request.content_type());
    }
    if let Some(length) = request.content_length() {
        field(b"content-length", digits.format(length).as_bytes());
    }
    field(b"connection", connection(request));
    if request.chunked() {
        field(b"transfer-encoding", b"chunked");
    }
    field(b":status", digits.format(request.status()).as_bytes());
}

/// One of [`each_special_response_field`].
fn special_response_field<'a>(request: Request, name: &[u8]) -> Option<Cow<'a, [u8]>> {
    let is = |special: &[u8]| name.eq_ignore_ascii_case(special);
    let number = |n: u64| Some(Cow::Owned(n.to_string().into_bytes()));
    match name.len() {
        7 if is(b":status") => number(request.status().into()),
        10 if is(b"connection") => Some(Cow::Borrowed(connection(request))),
        12 if is(b"content-type") => Some(Cow::Borrowed(request.content_type())).filter(|value| !value.is_empty()),
        13 if is(b"last-modified") => Some(Cow::Owned(request.last_modified()?)),
        14 if is(b"content-length") => number(request.content_length()?),
        17 if is(b"transfer-encoding") && request.chunked() => Some(Cow::Borrowed(b"chunked")),
        _ => None,
    }
}

fn connection(request: Request) -> &'static [u8] {
    if request.status() == 101 {
        b"upgrade"
    } else if request.keepalive() {
        b"keep-alive"
    } else {
        b"close"
    }
}

/// Appends a response field; those that a response has once are set.
fn add_response(request: Request, name: &[u8], value: &[u8]) -> std::result::Result<(), AllocError> {
    if is_special_response(name) {
        set_special_response(request, name, value)
    } else {
        request.add_header_out(name, value)
    }
}

/// As [`add_response`], with many.
pub fn add_responses<'a>(
    request: Request,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> std::result::Result<(), AllocError> {
    for (name, value) in fields.clone().filter(|(name, _)| is_special_response(name)) {
        set_special_response(request, name, value)?;
    }
    request.add_headers_out(fields.filter(|(name, _)| !is_special_response(name)))
}

fn set_response(request: Request, name: &[u8], value: &[u8]) -> Result {
    if name.starts_with(b":") {
        request.set_status(status_of(request, name, value)?);
        return Ok(());
    }
    request.remove_header_out(name).or_status()?;
    add_response(request, name, value).or_status()
}

/// The status that a pseudo header of the response sets; there is no other.
fn status_of(request: Request, name: &[u8], value: &[u8]) -> Result<u32> {
    let refuse = |reason: &str| Err(refuse(request, "response", name, reason));
    if name != b":status" {
        return refuse("unknown pseudo header");
    }
    match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
        Some(status @ 100..=999) => Ok(status),
        _ => refuse("invalid value"),
    }
}

/// Names of fields that nginx keeps outside the list, and that plugins may write.
fn is_special_response(name: &[u8]) -> bool {
    let is = |special: &[u8]| name.eq_ignore_ascii_case(special);
    match name.len() {
        10 => is(b"connection"),
        12 => is(b"content-type"),
        14 => is(b"content-length"),
        17 => is(b"transfer-encoding"),
        _ => false,
    }
}

/// Sets one of [`is_special_response`]. How the body is framed is nginx's to say: a length that is not the body's would let the
/// client take part of this response for the next one.
fn set_special_response(request: Request, name: &[u8], value: &[u8]) -> std::result::Result<(), AllocError> {
    if name.eq_ignore_ascii_case(b"content-type") {
        request.set_content_type(value)?;
    } else if name.eq_ignore_ascii_case(b"connection") {
        request.set_keepalive(!value.eq_ignore_ascii_case(b"close") && request.keepalive());
    }
    Ok(())
}

fn remove_response(request: Request, name: &[u8]) -> Result {
    if name.eq_ignore_ascii_case(b"content-type") {
        request.set_content_type(b"").or_status()?;
    } else if name.eq_ignore_ascii_case(b"content-length") {
        request.set_content_length(None);
    }
    request.remove_header_out(name).or_status()
}

/// Says in the request's log why a field was not changed.
pub fn refuse(request: Request, of: &str, name: &[u8], reason: &str) -> Status {
    request.log().print(Level::Error, format_args!("failed to set {of} header {}: {reason}", name.escape_ascii()));
    Status::BadArgument
}
