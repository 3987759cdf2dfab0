//! The map of the request: nginx's list, then the pseudo headers.

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use proxy_wasm_host::Dialect;
use proxy_wasm_host::authority::{self, Name, Written};
use proxy_wasm_host::host::Result;
use proxy_wasm_host::pairs::Pairs;
use proxy_wasm_host::target;

use super::with_lowcase_name;
use crate::context::{Answer, RequestStream};
use crate::host::OrStatus;

/// The pseudo headers of the map.
const PSEUDO_FIELDS: [&[u8]; 4] = [b":scheme", b":path", b":method", b":authority"];

/// The values of `:scheme`.
const SCHEMES: [&[u8]; 2] = [b"http", b"https"];

/// The fields of the connection. Envoy takes them out of the map, and `host`, which stands there as
/// `:authority`. By name, plugins find them all.
const CONNECTION_FIELDS: [&[u8]; 2] = [b"connection", b"transfer-encoding"];

/// Returns the number of fields in the map.
#[inline(never)]
pub(super) fn request_count(request: Request, dialect: Dialect) -> usize {
    let authority = !request.host().is_empty() || field_in_place(request, b":authority").is_some();
    let count = |count, field| if is_visible(field, dialect) { count + 1 } else { count };
    request.headers_in().iter().fold(PSEUDO_FIELDS.len() - usize::from(!authority), count)
}

/// Whether a field stands in the map. Nearly always its name's length says so.
#[inline]
fn is_visible(field: Field, dialect: Dialect) -> bool {
    !matches!(field.name().len(), 4 | 10 | 17) || dialect == Dialect::CModule || !is_hidden(field)
}

/// Whether Envoy's map does not have a field: [`CONNECTION_FIELDS`], and `host`.
#[inline]
fn is_hidden(field: Field) -> bool {
    match field.lowcase_request_name() {
        Some(name) => name == b"host" || name == b"connection" || name == b"transfer-encoding",
        None => is_hidden_name(field.name()),
    }
}

/// As [`is_hidden`], for a field of which nginx has no name in lower case.
#[cold]
fn is_hidden_name(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"host") || CONNECTION_FIELDS.iter().any(|hidden| name.eq_ignore_ascii_case(hidden))
}

/// Visits the whole map in its order. `scheme` is the one that plugins see.
pub(super) fn each_request_field(
    request: Request,
    dialect: Dialect,
    scheme: &[u8],
    field: &mut dyn FnMut(&[u8], &[u8]),
) {
    for header in request.headers_in().iter().filter(|header| is_visible(*header, dialect)) {
        match header.lowcase_request_name() {
            Some(name) => field(name, header.value()),
            None => with_lowcase_name(header, |name| field(name, header.value())),
        }
    }
    for name in PSEUDO_FIELDS {
        let value = if name == b":scheme" { Some(Cow::Borrowed(scheme)) } else { request_field(request, name) };
        if let Some(value) = value {
            field(name, &value);
        }
    }
}

/// Returns the first value of a name.
pub fn request_field<'r>(request: Request<'r>, name: &[u8]) -> Option<Cow<'r, [u8]>> {
    if name == b":path" { Some(request.target()) } else { field_in_place(request, name).map(Cow::Borrowed) }
}

/// As [`request_field`], for a name that is not `:path`.
fn field_in_place<'r>(request: Request<'r>, name: &[u8]) -> Option<&'r [u8]> {
    if !name.starts_with(b":") {
        return request.headers_in().find_request_field(name).map(Field::value);
    }
    match name {
        b":scheme" => Some(request.scheme()),
        b":method" => Some(request.method()),
        // A request over HTTP/1.0 may have no host.
        b":authority" => request
            .headers_in()
            .find_request_field(b"host")
            .map(Field::value)
            .or_else(|| Some(request.host()).filter(|h| !h.is_empty())),
        _ => None,
    }
}

/// Whether a request has a field of this name only once.
pub(super) fn is_single(name: &[u8]) -> bool {
    name.starts_with(b":")
        || [&b"host"[..], b"content-length", b"content-type"].iter().any(|single| single.eq_ignore_ascii_case(name))
}

impl RequestStream {
    /// Sets a field in place of all fields of its name.
    pub(super) fn set_request(&self, name: &[u8], value: &[u8]) -> Result {
        if let Some(refusal) = self.refusal(name, value) {
            return self.refuse_request(name, &refusal);
        }
        if let Some(name) = Name::of(name) {
            return self.write_host(name, value);
        }
        match name {
            b":scheme" => {
                self.ctx().scheme.set(SCHEMES.into_iter().find(|scheme| scheme.eq_ignore_ascii_case(value)));
                Ok(())
            }
            b":method" => self.ctx().set_method(value).or_status(),
            b":path" => self.set_path(value),
            _ => self.request().set_header_in(name, value).or_status(),
        }
    }

    /// Removes all fields of a name. A request is not one without a method and a path: these stay,
    /// so that a plugin may add them anew.
    pub(super) fn remove_request(&self, name: &[u8]) -> Result {
        if name.starts_with(b":") && self.dialect() == Dialect::CModule {
            return self.refuse("request", name, "can't remove pseudo header");
        }
        match Name::of(name) {
            None if name == b":scheme" => {
                self.ctx().scheme.set(None);
                Ok(())
            }
            None if name.starts_with(b":") => Ok(()),
            Some(name) => self.write_host(name, b""),
            None => self.request().remove_header_in(name).or_status(),
        }
    }

    /// Replaces the map. Pseudo headers that the new map does not have stay unchanged.
    pub(super) fn set_requests(&self, pairs: Pairs<'_>) -> Result {
        let request = self.request();
        // A map that was read and is written back has the scheme in it.
        let scheme = self.scheme();
        let own_scheme = |name: &[u8], value: &[u8]| name == b":scheme" && value == scheme;
        for (name, value) in pairs.iter().filter(|(name, value)| !own_scheme(name, value)) {
            if let Some(refusal) = self.refusal(name, value) {
                self.refuse_request(name, &refusal)?;
            }
        }
        let fields =
            || pairs.iter().filter(|(name, value)| !own_scheme(name, value) && self.refusal(name, value).is_none());
        let host = self.current_host();
        // A plugin cannot write back what the map did not show.
        let unseen = CONNECTION_FIELDS.map(|name| {
            let is_new = pairs.iter().any(|(new, _)| new.eq_ignore_ascii_case(name));
            field_in_place(request, name).filter(|_| self.dialect() == Dialect::Envoy && !is_new)
        });
        request.clear_headers_in().or_status()?;
        for (name, value) in CONNECTION_FIELDS.into_iter().zip(unseen) {
            if let Some(value) = value {
                request.add_header_in(name, value).or_status()?;
            }
        }
        if let Some((name, value)) = authority::of_map(host, fields()) {
            Written::note(&mut self.host_written().borrow_mut(), host, name, value);
            self.set_host(name, value)?;
        }
        // Set first, while the list is short: if one of these fields comes twice, the first one is
        // searched only among them.
        let is_host = |name: &[u8]| Name::of(name).is_some();
        for (name, value) in fields().filter(|(name, _)| is_single(name) && !is_host(name)) {
            self.set_request(name, value)?;
        }
        request.add_headers_in(fields().filter(|(name, _)| !is_single(name))).or_status()
    }

    /// As [`RequestStream::refuse`]. A request whose method was not set must not go on with the one
    /// that it had.
    fn refuse_request(&self, name: &[u8], reason: &str) -> Result {
        if name == b":method" && self.dialect() == Dialect::Envoy {
            self.reject(name, reason);
            return Ok(());
        }
        self.refuse("request", name, reason)
    }

    /// Returns why the field cannot have this value, if it cannot.
    fn refusal(&self, name: &[u8], value: &[u8]) -> Option<String> {
        match name {
            b":scheme" if self.dialect() == Dialect::CModule => Some("read only".to_owned()),
            b":method" => match value.iter().find(|c| !c.is_ascii_alphabetic()) {
                Some(&invalid) => Some(invalid_char(invalid)),
                None => value.is_empty().then(|| "empty value".to_owned()),
            },
            b":scheme" => {
                let is_known = SCHEMES.iter().any(|scheme| scheme.eq_ignore_ascii_case(value));
                (!is_known).then(|| "neither http nor https".to_owned())
            }
            b":path" | b":authority" => None,
            _ => name.starts_with(b":").then(|| "unknown pseudo header".to_owned()),
        }
    }

    /// The scheme as plugins see it: what a plugin wrote, else the connection's. No other part of
    /// nginx knows of it: `proxy_pass` says how the upstream is called.
    pub(super) fn scheme(&self) -> &'static [u8] {
        self.ctx().scheme.get().unwrap_or_else(|| self.request().scheme())
    }

    /// If a plugin writes the path back unchanged, nginx's own URI stays: nginx may have changed it
    /// meanwhile.
    fn set_path(&self, path: &[u8]) -> Result {
        let request = self.request();
        if *path == *request.target() && !path.is_empty() {
            return Ok(());
        }
        // The C module does nothing but write this line, and existing test suites look for it.
        if self.slot().is_driven_by_lua()
            && let Some(invalid) = target::escaped_byte(path)
        {
            self.log_refusal("request", b":path", &invalid_char(invalid));
            return Ok(());
        }
        if !request.set_target(&target::from_path(path)).or_status()? {
            self.reject(b":path", "nginx takes no such path");
        }
        Ok(())
    }

    /// Writes the host under one of its names, unless the plugin writes back the value that was
    /// there.
    fn write_host(&self, name: Name, value: &[u8]) -> Result {
        let host = self.current_host();
        let mut written = self.host_written().borrow_mut();
        if !Written::counts(written.as_ref(), host, name, value) {
            return Ok(());
        }
        Written::note(&mut written, host, name, value);
        self.set_host(name, value)
    }

    /// Sets the host. An empty value removes the field.
    fn set_host(&self, name: Name, value: &[u8]) -> Result {
        let request = self.request();
        if value.is_empty() {
            return request.remove_header_in(b"host").or_status();
        }
        if !authority::is_valid(value) {
            let name: &[u8] = if name == Name::Host { b"host" } else { b":authority" };
            self.reject(name, "nginx takes no such host");
            return Ok(());
        }
        request.set_header_in(b"host", value).or_status()
    }

    fn current_host(&self) -> &[u8] {
        field_in_place(self.request(), b":authority").unwrap_or_default()
    }

    /// Ends the request with the answer that nginx would give to a client who had sent this value.
    /// The plugin itself gets no error status: SDKs panic on most statuses, and plugins write
    /// values into a request that clients sent.
    fn reject(&self, name: &[u8], reason: &str) {
        let (request, ctx) = (self.request(), self.ctx());
        if request.header_sent() || ctx.response.state.has_begun() {
            self.log_refusal("request", name, reason);
            return;
        }
        self.log_refusal("request", name, &format!("{reason}, so the client gets 400"));
        ctx.set_answer(Box::new(Answer::page(400)));
        ctx.after_callback();
    }
}

fn invalid_char(invalid: u8) -> String {
    format!("invalid char \"{}\"", [invalid].escape_ascii())
}
