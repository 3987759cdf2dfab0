//! nginx as this module sees it, in files named after nginx's own headers, or its sources where a
//! header has many subjects; the head of each file names nginx's.
//!
//! This is the only crate that names nginx-sys. Handles such as [`Request`] are plain pointers with a
//! lifetime. The code that makes a handle from nginx's pointer, at the border where nginx calls this
//! module, promises that nginx keeps the object for that lifetime; everything after that is safe to
//! call. What comes from a handle (a field, a pool, a string, a context) has the handle's lifetime:
//!
//! ```no_run
//! use ngx_bindings::Request;
//! use ngx_bindings::modules::HttpModule;
//!
//! struct Context;
//!
//! fn host(request: Request<'_>) -> Option<&[u8]> {
//!     request.headers_in().find(b"host").map(|field| field.value())
//! }
//!
//! fn context<'r>(request: Request<'r>, module: HttpModule<(), (), Context>) -> Option<&'r Context> {
//!     request.module_ctx(module)
//! }
//! ```
//!
//! So neither a field nor a context outlives its request, as the compiler says:
//!
//! ```compile_fail
//! # use ngx_bindings::Request;
//! fn host(request: Request<'_>) -> Option<&'static [u8]> {
//!     request.headers_in().find(b"host").map(|field| field.value())
//! }
//! ```
//!
//! ```compile_fail
//! # use ngx_bindings::Request;
//! # use ngx_bindings::modules::HttpModule;
//! # struct Context;
//! fn context(request: Request<'_>, module: HttpModule<(), (), Context>) -> Option<&'static Context> {
//!     request.module_ctx(module)
//! }
//! ```
//!
//! Nor can a handler keep the request that nginx calls it for:
//!
//! ```compile_fail
//! # use std::cell::Cell;
//! # use ngx_bindings::{Request, rc};
//! thread_local!(static LAST: Cell<Option<Request<'static>>> = const { Cell::new(None) });
//!
//! extern "C" fn handler(request: Request<'_>) -> isize {
//!     LAST.set(Some(request));
//!     rc::DECLINED
//! }
//! ```
//!
//! What is kept longer is a [`StoredRequest`], which lends the request to whoever says why it is
//! still there. nginx runs a worker in one thread, and no handle may leave that thread.

// nginx's integer types, and so the casts between them, differ between versions and machines.
#![allow(clippy::unnecessary_cast)]

mod array;
pub mod body;
mod body_file;
pub mod certificate;
pub mod chain;
pub mod channel;
pub mod client;
pub mod conf;
pub mod connection;
pub mod cycle;
pub mod end;
pub mod event;
pub mod filter;
mod globals;
pub mod guard;
mod hash;
pub mod headers;
pub mod headers_in;
pub mod headers_out;
pub mod incoming;
pub mod inet;
mod live;
pub mod log;
pub mod lua;
pub mod module;
pub mod modules;
pub mod parse;
pub mod passing;
pub mod peers;
pub mod phase;
pub mod pool;
pub mod request;
mod request_bits;
pub mod resolver;
mod resume;
pub mod shm;
pub mod shutdown;
pub mod signature;
pub mod slice;
pub mod ssl;
pub mod string;
mod subrequest;
pub mod upstream;
pub mod variables;

pub use nginx_sys as sys;

pub use conf::Conf;
pub use log::Log;
pub use pool::Pool;
pub use request::{Request, StoredRequest};

/// nginx's return codes, as the `ngx_int_t` that its functions pass around.
pub mod rc {
    use crate::sys::{self, ngx_int_t};

    /// The call succeeded. From a phase handler: the request may continue.
    pub const OK: ngx_int_t = sys::NGX_OK as ngx_int_t;
    /// The call failed.
    pub const ERROR: ngx_int_t = sys::NGX_ERROR as ngx_int_t;
    /// Try again later.
    pub const AGAIN: ngx_int_t = sys::NGX_AGAIN as ngx_int_t;
    /// Other code continues the request.
    pub const DONE: ngx_int_t = sys::NGX_DONE as ngx_int_t;
    /// The handler does not want the request.
    pub const DECLINED: ngx_int_t = sys::NGX_DECLINED as ngx_int_t;
    /// 405.
    pub const NOT_ALLOWED: ngx_int_t = sys::NGX_HTTP_NOT_ALLOWED as ngx_int_t;
    /// 503.
    pub const SERVICE_UNAVAILABLE: ngx_int_t = sys::NGX_HTTP_SERVICE_UNAVAILABLE as ngx_int_t;
    /// 444: nginx closes the connection without a response.
    pub const CLOSE: ngx_int_t = sys::NGX_HTTP_CLOSE as ngx_int_t;
    /// 502.
    pub const BAD_GATEWAY: ngx_int_t = sys::NGX_HTTP_BAD_GATEWAY as ngx_int_t;
    /// 504.
    pub const GATEWAY_TIME_OUT: ngx_int_t = sys::NGX_HTTP_GATEWAY_TIME_OUT as ngx_int_t;
    /// 500.
    pub const INTERNAL_SERVER_ERROR: ngx_int_t = sys::NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
}
