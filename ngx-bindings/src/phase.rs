//! `ngx_http_core_module.h`: the phases of a request.

use nginx_sys::{
    self as sys, ngx_array_push, ngx_http_core_loc_conf_t, ngx_http_core_main_conf_t, ngx_http_handler_pt,
    ngx_http_request_t, ngx_int_t,
};

use crate::Conf;
use crate::pool::AllocError;

/// The phases that this module adds handlers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Rewriting, inside a location.
    Rewrite,
    /// Access control.
    Access,
    /// Logging, after the response.
    Log,
}

/// A phase handler.
pub type Handler = unsafe extern "C" fn(*mut ngx_http_request_t) -> ngx_int_t;

/// Adds a handler to a phase; called from `postconfiguration`. The handler that was added last runs
/// first.
pub fn add_handler(cf: Conf, phase: Phase, handler: Handler) -> Result<(), AllocError> {
    let phase = match phase {
        Phase::Rewrite => sys::ngx_http_phases_NGX_HTTP_REWRITE_PHASE,
        Phase::Access => sys::ngx_http_phases_NGX_HTTP_ACCESS_PHASE,
        Phase::Log => sys::ngx_http_phases_NGX_HTTP_LOG_PHASE,
    };
    // SAFETY: the core module's configuration exists whenever `http` is read; its arrays are
    // initialized by then.
    unsafe {
        let core: *mut ngx_http_core_main_conf_t = cf.main_conf(&raw const sys::ngx_http_core_module);
        let entry: *mut ngx_http_handler_pt = ngx_array_push(&raw mut (*core).phases[phase as usize].handlers).cast();
        if entry.is_null() {
            return Err(AllocError);
        }
        *entry = Some(handler);
    }
    Ok(())
}

/// Makes `handler` answer the requests of the location that is being read.
pub fn set_content_handler(cf: Conf, handler: Handler) {
    // SAFETY: inside a location, `cf->ctx` is its context, in which the core module's configuration
    // exists.
    unsafe {
        let core: *mut ngx_http_core_loc_conf_t = cf.loc_conf(&raw const sys::ngx_http_core_module);
        (*core).handler = Some(handler);
    }
}
