//! nginx as this module sees it, in files named after nginx's own headers.
//!
//! This is the only crate that names nginx-sys. Handles such as [`Request`] are plain pointers. The
//! code that makes a handle from nginx's pointer promises that nginx keeps the object alive while
//! the handle is used; everything after that is safe to call. nginx runs a worker in one thread,
//! and no handle may leave that thread.

// nginx's integer types, and so the casts between them, differ between versions and machines.
#![allow(clippy::unnecessary_cast)]

pub mod body;
mod body_file;
pub mod chain;
pub mod channel;
pub mod client;
pub mod conf;
pub mod connection;
pub mod cycle;
pub mod end;
pub mod event;
pub mod filter;
pub mod headers;
pub mod headers_in;
pub mod headers_out;
pub mod inet;
pub mod log;
pub mod lua;
pub mod module;
pub mod modules;
pub mod phase;
pub mod pool;
pub mod request;
mod request_bits;
pub mod resolver;
pub mod shm;
pub mod shutdown;
pub mod slice;
pub mod ssl;
pub mod string;
pub mod upstream;
pub mod uri;
pub mod variables;

pub use nginx_sys as sys;

pub use conf::Conf;
pub use log::Log;
pub use pool::Pool;
pub use request::Request;

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
