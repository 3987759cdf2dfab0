//! The map of the request: nginx's list, then the pseudo headers.

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use proxy_wasm_host::authority::{self, Name, Written};
use proxy_wasm_host::host::Result;
use proxy_wasm_host::pairs::Pairs;
use proxy_wasm_host::target;

use super::with_lowcase_name;
use crate::context::{Answer, RequestStream};
use crate::host::OrStatus;

/// The pseudo headers of the map.
const PSEUDO_FIELDS: [&[u8]; 4] = [b":scheme", b":path", b":method", b":authority"];

/// Returns the number of fields in the map.
pub(super) fn request_count(request: Request) -> usize {
    let authority = !request.host().is_empty() || request_field(request, b":authority").is_some();
    request.headers_in().iter().count() + PSEUDO_FIELDS.len() - usize::from(!authority)
}

/// Visits the whole map in its order.
pub(super) fn each_request_field(request: Request, field: &mut dyn FnMut(&[u8], &[u8])) {
    for header in request.headers_in().iter() {
        match header.lowcase_request_name() {
            Some(name) => field(name, header.value()),
            None => with_lowcase_name(header, |name| field(name, header.value())),
        }
    }
    for name in PSEUDO_FIELDS {
        if let Some(value) = request_field(request, name) {
            field(name, value);
        }
    }
}

/// Returns the first value of a name.
pub fn request_field<'r>(request: Request<'r>, name: &[u8]) -> Option<&'r [u8]> {
    if !name.starts_with(b":") {
        return request.headers_in().find_request_field(name).map(Field::value);
    }
    match name {
        b":scheme" => Some(request.scheme()),
        b":path" => Some(request.unparsed_uri()),
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
        self.check_request(name, value)?;
        if let Some(name) = Name::of(name) {
            return self.write_host(name, value);
        }
        match name {
            b":method" => self.ctx().set_method(value).or_status(),
            b":path" => self.set_path(value),
            _ => self.request().set_header_in(name, value).or_status(),
        }
    }

    /// Removes all fields of a name.
    pub(super) fn remove_request(&self, name: &[u8]) -> Result {
        match Name::of(name) {
            Some(name) => self.write_host(name, b""),
            None => self.request().remove_header_in(name).or_status(),
        }
    }

    /// Replaces the map. Pseudo headers that the new map does not have stay unchanged.
    pub(super) fn set_requests(&self, pairs: Pairs<'_>) -> Result {
        let request = self.request();
        let fields = || pairs.iter().filter(|(name, _)| *name != b":scheme");
        fields().try_for_each(|(name, value)| self.check_request(name, value))?;
        let host = self.current_host();
        request.clear_headers_in().or_status()?;
        if let Some((name, value)) = authority::of_map(host, fields()) {
            Written::note(&mut self.host_written.borrow_mut(), host, name, value);
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

    /// Refuses a value that the field cannot have.
    fn check_request(&self, name: &[u8], value: &[u8]) -> Result {
        let refuse = |reason: &str| Err(self.refuse("request", name, reason));
        match name {
            b":scheme" => refuse("read only"),
            b":method" => match value.iter().find(|c| !c.is_ascii_alphabetic()) {
                Some(&invalid) => refuse(&invalid_char(invalid)),
                None if value.is_empty() => refuse("empty value"),
                None => Ok(()),
            },
            b":path" | b":authority" => Ok(()),
            _ if name.starts_with(b":") => refuse("unknown pseudo header"),
            _ => Ok(()),
        }
    }

    /// If a plugin writes the path back unchanged, nginx's own URI stays: nginx may have changed it
    /// meanwhile.
    fn set_path(&self, path: &[u8]) -> Result {
        let request = self.request();
        if path == request.unparsed_uri() && !path.is_empty() {
            return Ok(());
        }
        // The C module does nothing but write this line, and existing test suites look for it.
        if self.slot().is_driven_by_lua()
            && let Some(invalid) = target::escaped_byte(path)
        {
            self.refuse("request", b":path", &invalid_char(invalid));
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
        let mut written = self.host_written.borrow_mut();
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
        request_field(self.request(), b":authority").unwrap_or_default()
    }

    /// Ends the request with the answer that nginx would give to a client who had sent this value.
    /// The plugin itself gets no error status: SDKs panic on most statuses, and plugins write
    /// values into a request that clients sent.
    fn reject(&self, name: &[u8], reason: &str) {
        let (request, ctx) = (self.request(), self.ctx());
        if request.header_sent() || ctx.response.has_begun() {
            self.refuse("request", name, reason);
            return;
        }
        self.refuse("request", name, &format!("{reason}, so the client gets 400"));
        ctx.set_answer(Box::new(Answer::page(400)));
        ctx.after_callback();
    }
}

fn invalid_char(invalid: u8) -> String {
    format!("invalid char \"{}\"", [invalid].escape_ascii())
}
