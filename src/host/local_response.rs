//! Spec, "HTTP streams": the answer that a plugin sends instead of the upstream's response.

use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{LocalResponse, Response, Result};
use proxy_wasm_host::pairs::PairsBuf;

use super::{headers, trailers};
use crate::context::{Answer, RequestStream};

impl LocalResponse for RequestStream {
    fn send_local_response(&mut self, response: Response<'_>) -> Result {
        if !(200..=599).contains(&response.status) {
            return Err(Status::BadArgument);
        }
        // The request is in its log phase, so its response is over.
        if self.ctx().handle().get().is_none() {
            return Err(Status::BadArgument);
        }
        // Counted until the request ends, because nginx sends a copy of these bytes.
        let size = response.body.len() + response.headers.size() + response.details.len();
        self.ctx().hold_bytes(self.slot().memory(), size)?;
        if !response.details.is_empty() {
            let details = response.details.escape_ascii();
            let line = format_args!("local response {}, details: {details}", response.status);
            self.request().log().print(ngx_bindings::log::Level::Info, line);
        }
        if !response.details.is_empty() && !self.ctx().has_answer() {
            self.ctx().set_answer_details(response.details);
        }
        self.ctx().set_answer(Box::new(Answer::new(self.request(), response)));
        self.ctx().after_callback();
        Ok(())
    }
}

impl Answer {
    fn new(request: Request, response: Response<'_>) -> Self {
        let mut headers = PairsBuf::default();
        for (name, value) in response.headers.iter() {
            headers.push(name, value);
        }
        let content_type = request.headers_in().find(b"content-type").map_or(&b""[..], |field| field.value());
        if response.grpc_status < 0 || !content_type.starts_with(b"application/grpc") {
            return Self { status: response.status, headers, body: response.body.to_vec(), is_page: false };
        }
        // gRPC clients read the outcome from trailers. Here they come in the header, as gRPC over
        // HTTP/2 calls "Trailers-Only".
        headers.push(b"content-type", b"application/grpc");
        headers.push(b"grpc-status", response.grpc_status.to_string().as_bytes());
        if !response.body.is_empty() {
            headers.push(b"grpc-message", &percent_encode(response.body));
        }
        Self { status: 200, headers, body: Vec::new(), is_page: false }
    }

    /// Sends the answer from a phase handler. The handler returns the result to nginx.
    pub fn send(self, request: Request) -> ngx_int_t {
        self.try_send(request).unwrap_or(rc::ERROR)
    }

    fn try_send(self, request: Request) -> std::result::Result<ngx_int_t, AllocError> {
        self.set_header(request)?;
        if self.body.is_empty() && has_page(self.status) {
            // The status is not returned to nginx as the handler's result: under `satisfy any`,
            // nginx would treat a 401 or 403 as one access check of several.
            // SAFETY: the handler returns without a further look at the request.
            unsafe { request.finalize(self.status as ngx_int_t) };
            return Ok(rc::DONE);
        }
        let rc = request.discard_body();
        if rc != rc::OK {
            return Ok(rc);
        }
        request.set_status(self.status);
        request.set_content_length(Some(self.body.len() as u64));
        let rc = request.send_header();
        if rc != rc::OK || request.header_only() {
            // A positive result of a phase handler would make nginx send a page, but the header is
            // sent already.
            // SAFETY: as above.
            unsafe { request.finalize(rc) };
            return Ok(rc::DONE);
        }
        let rc = request.send_body(&self.body)?;
        // SAFETY: as above.
        unsafe { request.finalize(rc) };
        Ok(rc::DONE)
    }

    /// Turns the response that nginx was about to send into this answer, without the body.
    pub fn replace(&self, request: Request) -> std::result::Result<(), AllocError> {
        request.clear_headers_out()?;
        trailers::clear(request);
        request.set_content_type(b"")?;
        request.forbid_ranges();
        self.set_header(request)?;
        request.set_status(self.status);
        request.set_content_length(Some(self.body.len() as u64));
        Ok(())
    }

    /// Puts the answer's fields into the response.
    pub fn set_header(&self, request: Request) -> std::result::Result<(), AllocError> {
        headers::add_responses(request, self.headers.iter().filter(|(name, _)| !name.starts_with(b":")))?;
        let typed = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"content-type"));
        if !typed && !self.body.is_empty() {
            request.set_content_type(b"text/plain")?;
        }
        Ok(())
    }
}

/// Whether nginx has a page for a status, or the operator may have an `error_page`. To nginx, some
/// statuses mean something else: that the connection is to be closed, or what was wrong with a
/// request that gets 400.
fn has_page(status: u32) -> bool {
    status >= 300 && !matches!(status, 408 | 444 | 494..=497 | 499)
}

/// Encodes a status message as gRPC does.
fn percent_encode(message: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(message.len());
    for (at, &byte) in message.iter().enumerate() {
        match byte {
            // A field's value neither begins nor ends in a space.
            b' ' if at == 0 || at + 1 == message.len() => encoded.extend_from_slice(b"%20"),
            b'%' | 0..0x20 | 0x7f.. => encoded.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => encoded.push(byte),
        }
    }
    encoded
}
