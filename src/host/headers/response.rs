//! The map of the response: nginx's list, then the fields that nginx keeps elsewhere.

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::pool::AllocError;
use proxy_wasm_host::host::Result;

use super::with_lowcase_name;
use crate::context::RequestStream;
use crate::host::OrStatus;

/// Returns the number of fields in the map.
pub(super) fn response_count(request: Request) -> usize {
    // Fields outside the list are counted without formatting their values.
    request.headers_out().iter().count()
        + 2 // `connection` and `:status`
        + usize::from(!request.content_type().is_empty())
        + usize::from(request.has_last_modified_time())
        + usize::from(request.content_length().is_some())
        + usize::from(request.chunked())
}

/// Visits the whole map in its order.
pub(super) fn each_response_field(request: Request, field: &mut dyn FnMut(&[u8], &[u8])) {
    for header in request.headers_out().iter() {
        with_lowcase_name(header, |name| field(name, header.value()));
    }
    each_special_response_field(request, field);
}

pub fn response_field<'r>(request: Request<'r>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
    match request.headers_out().find(name) {
        Some(field) => Some(Cow::Borrowed(field.value())),
        None => special_response_field(request, name),
    }
}

/// Visits the fields that nginx keeps outside the list, in the order in which plugins see them.
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

/// Returns one of [`each_special_response_field`].
fn special_response_field<'r>(request: Request<'r>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
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

/// Appends a response field. A field that a response has only once is set instead.
pub(super) fn add_response(request: Request, name: &[u8], value: &[u8]) -> std::result::Result<(), AllocError> {
    if is_special_response(name) {
        set_special_response(request, name, value)
    } else {
        request.add_header_out(name, value)
    }
}

/// As [`add_response`], for many fields.
pub fn add_responses<'a>(
    request: Request,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone,
) -> std::result::Result<(), AllocError> {
    for (name, value) in fields.clone().filter(|(name, _)| is_special_response(name)) {
        set_special_response(request, name, value)?;
    }
    request.add_headers_out(fields.filter(|(name, _)| !is_special_response(name)))
}

pub(super) fn set_response(stream: &RequestStream, name: &[u8], value: &[u8]) -> Result {
    if name.starts_with(b":") {
        if let Some(status) = status_of(stream, name, value)? {
            stream.request().set_status(status);
        }
        return Ok(());
    }
    let request = stream.request();
    request.remove_header_out(name).or_status()?;
    add_response(request, name, value).or_status()
}

/// Returns the status that `:status` sets; `None` if it was refused. A response has no other pseudo
/// header.
pub(super) fn status_of(stream: &RequestStream, name: &[u8], value: &[u8]) -> Result<Option<u32>> {
    let refuse = |reason: &str| stream.refuse("response", name, reason).map(|()| None);
    if name != b":status" {
        return refuse("unknown pseudo header");
    }
    // A status of 1xx does not end in a response that the client awaits, so neither kind can become
    // the other.
    let current = stream.request().status();
    match std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()) {
        Some(status) if status == current => Ok(Some(status)),
        Some(200..=999) if (100..200).contains(&current) => refuse("an upgrade keeps its status"),
        Some(status @ 200..=999) => Ok(Some(status)),
        _ => refuse("invalid value"),
    }
}

/// Whether a field is kept outside nginx's list and plugins may write it.
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

/// Sets one of [`is_special_response`]. nginx alone decides how the body is framed: with a wrong
/// length, the client could take part of this response for the next one.
fn set_special_response(request: Request, name: &[u8], value: &[u8]) -> std::result::Result<(), AllocError> {
    if name.eq_ignore_ascii_case(b"content-type") {
        request.set_content_type(value)?;
    } else if name.eq_ignore_ascii_case(b"connection") {
        request.set_keepalive(!value.eq_ignore_ascii_case(b"close") && request.keepalive());
    }
    Ok(())
}

pub(super) fn remove_response(request: Request, name: &[u8]) -> Result {
    if name.eq_ignore_ascii_case(b"content-type") {
        request.set_content_type(b"").or_status()?;
    } else if name.eq_ignore_ascii_case(b"content-length") {
        request.set_content_length(None);
    }
    request.remove_header_out(name).or_status()
}
