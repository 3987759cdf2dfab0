//! What nginx drives: a request's way through its plugins by nginx's own phases and filters.
//!
//! | file | what it is |
//! |---|---|
//! | `phases` | rewrite, access and log phase handlers |
//! | `filters` | header and body filter |
//! | `response` | what these filters do, and how a response that was held goes on |
//! | `unseen` | what nginx adds to responses that plugins do not see |

pub mod filters;
pub mod phases;
pub mod response;
pub mod unseen;

use ngx_bindings::Request;
use ngx_bindings::pool::AllocError;

use super::context::RequestContext;

/// The context of a request, made if there is none yet.
///
/// # Errors
///
/// When nginx has no memory.
#[inline]
pub fn context_of<'a>(request: Request) -> Result<&'a RequestContext, AllocError> {
    RequestContext::of_or_new(request, response::wake)
}
