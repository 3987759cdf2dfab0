//! `ngx_http_core_module.h`: the phases of a request.

use nginx_sys::{self as sys, ngx_http_core_loc_conf_t, ngx_int_t};

use crate::pool::AllocError;
use crate::{Conf, Request, array, modules};

/// The phases that this module adds handlers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Rewriting, inside a location.
    Rewrite,
    /// Access control, which subrequests skip.
    Access,
    /// What is behind access control, and before the response is made.
    Precontent,
    /// Logging, after the response.
    Log,
}

/// A handler of a phase, or of a location's content.
pub type Handler = for<'r> extern "C" fn(Request<'r>) -> ngx_int_t;

/// Adds a handler to a phase; called from `postconfiguration`. The handler that was added last runs
/// first.
pub fn add_handler(cf: Conf, phase: Phase, handler: Handler) -> Result<(), AllocError> {
    let phase = match phase {
        Phase::Rewrite => sys::ngx_http_phases_NGX_HTTP_REWRITE_PHASE,
        Phase::Access => sys::ngx_http_phases_NGX_HTTP_ACCESS_PHASE,
        Phase::Precontent => sys::ngx_http_phases_NGX_HTTP_PRECONTENT_PHASE,
        Phase::Log => sys::ngx_http_phases_NGX_HTTP_LOG_PHASE,
    };
    // SAFETY: `postconfiguration` is called when all of `http` is read, and nothing else uses it.
    let core = unsafe { cf.main_conf_mut(modules::http_core()) };
    // SAFETY: nginx has made the phases' arrays by then, of pointers to such functions.
    unsafe { array::push(&mut core.phases[phase as usize].handlers, Some(handler)) }
}

/// Makes `handler` answer the requests of the location that is being read.
pub fn set_content_handler(cf: Conf, handler: Handler) {
    // SAFETY: a location has a configuration of the core module.
    let core: &mut ngx_http_core_loc_conf_t = unsafe { modules::http_core().entry(cf.http_ctx().loc_conf) };
    let place = (&raw mut core.handler).cast::<Option<Handler>>();
    // SAFETY: to a handler, nginx's pointer to a request is a handle.
    unsafe { place.write(Some(handler)) };
}
