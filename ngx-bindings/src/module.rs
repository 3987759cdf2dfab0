//! `ngx_module.h`, `ngx_http_config.h`: the parts that a dynamic module exports.

use std::ffi::CStr;

use nginx_sys::{self as sys, ngx_command_t, ngx_str_t, ngx_uint_t};

/// The signature of a directive handler.
pub type Setter =
    unsafe extern "C" fn(*mut sys::ngx_conf_t, *mut ngx_command_t, *mut std::ffi::c_void) -> *mut std::ffi::c_char;

/// A directive of `http`, whose handler gets the module's `http` configuration.
pub const fn main_directive(name: &'static CStr, args: u32, set: Setter) -> ngx_command_t {
    directive(name, sys::NGX_HTTP_MAIN_CONF | args, sys::NGX_HTTP_MAIN_CONF_OFFSET, set)
}

/// A directive of `http`, `server` and `location`, whose handler gets the configuration of that
/// block.
pub const fn location_directive(name: &'static CStr, args: u32, set: Setter) -> ngx_command_t {
    let anywhere = sys::NGX_HTTP_MAIN_CONF | sys::NGX_HTTP_SRV_CONF | sys::NGX_HTTP_LOC_CONF;
    directive(name, anywhere | args, sys::NGX_HTTP_LOC_CONF_OFFSET, set)
}

/// A directive of `location` only.
pub const fn content_directive(name: &'static CStr, set: Setter) -> ngx_command_t {
    directive(name, sys::NGX_HTTP_LOC_CONF | sys::NGX_CONF_NOARGS, sys::NGX_HTTP_LOC_CONF_OFFSET, set)
}

const fn directive(name: &'static CStr, kind: u32, conf: usize, set: Setter) -> ngx_command_t {
    ngx_command_t {
        // nginx compares names up to the terminating zero.
        name: ngx_str_t { len: name.count_bytes(), data: name.as_ptr().cast_mut().cast() },
        type_: kind as ngx_uint_t,
        set: Some(set),
        conf: conf as ngx_uint_t,
        offset: 0,
        post: std::ptr::null_mut(),
    }
}
