//! Spec, "Buffers": the bodies of the request and the response.

use std::cell::RefCell;
use std::io;

use ngx_bindings::log::Level;
use proxy_wasm_host::abi::{BufferType, Status};
use proxy_wasm_host::host::{Buffers, Result};

use crate::context::{Body, RequestStream};

impl Buffers for RequestStream {
    fn buffer_size(&self, buffer: BufferType) -> Result<usize> {
        Ok(self.body(buffer)?.borrow().as_ref().ok_or(Status::NotFound)?.size())
    }

    fn read_buffer(&self, buffer: BufferType, start: usize, into: &mut [u8]) -> Result {
        let body = self.body(buffer)?.borrow();
        body.as_ref().ok_or(Status::NotFound)?.read(start, into).map_err(|error| self.unreadable(&error))
    }

    fn replace_buffer(&mut self, buffer: BufferType, start: usize, size: usize, value: &[u8]) -> Result {
        let mut body = self.body(buffer)?.borrow_mut();
        let body = body.as_mut().ok_or(Status::NotFound)?;
        let range = start..start + size;
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
}

impl RequestStream {
    /// In response callbacks, both types mean the response's body: existing plugins and the C
    /// module make no difference.
    fn body(&self, buffer: BufferType) -> Result<&RefCell<Option<Body>>> {
        let ctx = self.ctx();
        match buffer {
            BufferType::HttpRequestBody if ctx.response.body.borrow().is_none() => Ok(&ctx.request_body),
            BufferType::HttpRequestBody | BufferType::HttpResponseBody => Ok(&ctx.response.body),
            _ => Err(Status::NotFound),
        }
    }

    fn unreadable(&self, error: &io::Error) -> Status {
        self.request().log().print(Level::Error, format_args!("a body cannot be read: {error}"));
        Status::InternalFailure
    }
}
