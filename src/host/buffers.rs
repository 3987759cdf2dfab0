//! Spec, "Buffers": the bodies of the request and the response, in their own callbacks, and in others
//! while a plugin holds them.

use std::io;
use std::ops::Range;

use ngx_bindings::log::Level;
use proxy_wasm_host::abi::{BufferType, Status};
use proxy_wasm_host::host::{Buffers, Result};

use crate::context::{Body, RequestStream};

impl Buffers for RequestStream {
    fn buffer_size(&self, buffer: BufferType) -> Result<usize> {
        self.with_body(buffer, |body| Ok(body.size()))
    }

    fn read_buffer(&self, buffer: BufferType, start: usize, into: &mut [u8]) -> Result {
        self.with_body(buffer, |body| body.read(start, into).map_err(|error| self.unreadable(&error)))
    }

    fn replace_buffer(&mut self, buffer: BufferType, start: usize, size: usize, value: &[u8]) -> Result {
        self.with_body(buffer, |body| self.replace(body, start..start + size, value))
    }
}

impl RequestStream {
    fn replace(&self, body: &mut Body, range: Range<usize>, value: &[u8]) -> Result {
        // The limit is for changed bodies, which are in memory. nginx may have the original in a
        // file.
        let (new_size, limit) = (body.size_with(&range, value.len()), self.slot().body_buffer_size());
        if new_size > limit {
            let name = self.slot().plugin_name();
            let line = format_args!(
                "plugin \"{name}\" cannot change a body: {new_size} bytes are more than wasm_body_buffer_size ({limit})"
            );
            self.request().log().print(Level::Error, line);
            return Err(Status::InternalFailure);
        }
        body.count_for(self.slot().memory(), new_size)?;
        body.replace(range, value).map_err(|error| self.unreadable(&error))
    }

    /// Lends a body: the one that the running callback is about, else what the plugin holds. In response
    /// callbacks, both types mean the response's body: existing plugins and the C module make no
    /// difference.
    fn with_body<R>(&self, buffer: BufferType, run: impl FnOnce(&mut Body) -> Result<R>) -> Result<R> {
        let ctx = self.ctx();
        let shown = match buffer {
            BufferType::HttpRequestBody if ctx.response.body.borrow().is_none() => {
                ctx.rare.get().map(|rare| &rare.request_body)
            }
            BufferType::HttpRequestBody | BufferType::HttpResponseBody => Some(&ctx.response.body),
            _ => return Err(Status::NotFound),
        };
        if let Some(body) = shown.map(|shown| shown.borrow_mut()).as_deref_mut().and_then(Option::as_mut) {
            return run(body);
        }
        let slot = self.slot().index();
        let upload =
            ctx.upload().filter(|upload| buffer == BufferType::HttpRequestBody && upload.body.is_held_by(slot));
        let lent = match upload {
            Some(upload) => upload.body.with_held(slot, |piece| run(&mut piece.body)),
            None => ctx.response.state.with_held(slot, |piece| run(&mut piece.body)),
        };
        lent.unwrap_or(Err(Status::NotFound))
    }

    fn unreadable(&self, error: &io::Error) -> Status {
        self.request().log().print(Level::Error, format_args!("a body cannot be read: {error}"));
        Status::InternalFailure
    }
}
