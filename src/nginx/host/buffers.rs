//! Spec, "Buffers": the bodies of the request and the response.

use std::cell::RefCell;
use std::io;

use ngx_bindings::log::Level;

use super::super::body::Body;
use super::RequestStream;
use crate::proxy_wasm::abi::{BufferType, Status};
use crate::proxy_wasm::host::{Buffers, Result};

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
        let replaced = body.as_mut().ok_or(Status::NotFound)?.replace(start..start + size, value);
        replaced.map_err(|error| self.unreadable(&error))
    }
}

impl RequestStream {
    /// In the response's callbacks both types are the response's body: existing plugins, and the C module, know no difference.
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
