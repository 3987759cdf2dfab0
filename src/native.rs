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

use super::context::{Drivers, RequestContext};

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
