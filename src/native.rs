//! Callbacks that nginx drives: nginx's phases and filters take a request and its response through
//! the plugins.
//!
//! | file | what it is |
//! |---|---|
//! | `phases` | rewrite, access and log phase handlers |
//! | `filters` | header and body filter, and the filter of requests' bodies |
//! | `request_body` | how nginx does what [`proxy_wasm_host::request`] decides |
//! | `response` | how nginx does what [`proxy_wasm_host::response`] decides |
//! | `chosen_host` | the server that a plugin has chosen for a request |
//! | `unseen` | finds what nginx adds to responses behind the plugins |

pub mod chosen_host;
pub mod filters;
pub mod phases;
pub mod request_body;
pub mod response;
pub mod unseen;

use ngx_bindings::Request;
use ngx_bindings::pool::AllocError;

use super::conf::LocConf;
use super::context::{Drivers, RequestContext};

/// Returns the context of a subrequest if plugins get it: they are in its location, or got it elsewhere.
/// The parts that `slice` fetches are one response with that of their request. What nginx's cache fetches
/// in the background has passed no phase; no plugin gets it.
///
/// # Errors
///
/// If nginx has no memory.
pub fn context_of_subrequest(request: Request<'_>, in_phase: bool) -> Result<Option<&RequestContext>, AllocError> {
    if let Some(ctx) = RequestContext::of(request).filter(|ctx| ctx.serves()) {
        return Ok(Some(ctx));
    }
    let is_seen = in_phase || !request.is_slice() && !request.is_background();
    if !is_seen || !LocConf::of(request).has_lines_for(request) {
        return Ok(None);
    }
    let ctx = context_of(request)?;
    ctx.serve_subrequest()?;
    Ok(Some(ctx))
}

/// Returns the context of a request, and makes it if there is none yet.
///
/// # Errors
///
/// If nginx has no memory.
#[inline]
pub fn context_of(request: Request<'_>) -> Result<&RequestContext, AllocError> {
    const DRIVERS: Drivers = Drivers { response: proxy_wasm_host::response::wake, upload: request_body::wake };
    RequestContext::of_or_new(request, DRIVERS)
}
