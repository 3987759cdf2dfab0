//! The traits of [`crate::proxy_wasm::host`] on a worker and a request, one file per chapter of the spec.

mod buffers;
mod headers;
mod local_response;
mod log;
mod pending;
mod properties;
mod streams;

use std::ptr::NonNull;

use ngx_bindings::Request;

pub use headers::header_count;
pub use local_response::Answer;

use super::request::RequestContext;
use crate::proxy_wasm::host::{Host, Stream};

/// What a VM of this worker can call.
pub struct NginxHost;

impl NginxHost {
    /// Makes the host of each instance of a VM.
    pub fn factory() -> Box<dyn Fn() -> Self> {
        Box::new(|| Self)
    }
}

impl Host for NginxHost {
    type Stream = RequestStream;
}

/// One HttpContext's way to its request: a slot of the request's [`RequestContext`].
#[derive(Debug)]
pub struct RequestStream {
    ctx: NonNull<RequestContext>,
    slot: usize,
}

// SAFETY: a worker has one thread; wasmtime-wasi asks for `Send`, and nothing sends it.
unsafe impl Send for RequestStream {}

impl RequestStream {
    /// The stream of a slot; it is used until the slot's HttpContext has finished, which the request's end waits for.
    pub fn new(ctx: NonNull<RequestContext>, slot: usize) -> Self {
        Self { ctx, slot }
    }

    fn ctx(&self) -> &RequestContext {
        // SAFETY: the context lives in the request's pool and finishes its HttpContexts before that goes.
        unsafe { self.ctx.as_ref() }
    }

    #[inline]
    fn request(&self) -> Request {
        self.ctx().request()
    }
}

impl Stream for RequestStream {}
