//! nginx's page, or the operator's `error_page`, in place of a response whose header is not sent.
//!
//! An event of ours gives it. In a filter, whoever makes the response is still at work with the
//! request: an upstream would put the response into the cache, or the file, of the request that the
//! page has taken over, and nginx would end the request before a page that takes its time.

use ngx_bindings::chain::Chain;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::end::is_over_early;
use crate::context::{RequestContext, Stage};
use crate::identity::main_module;

/// Milliseconds until a request is looked at again for which a thread reads or writes a file.
const FILE_IO: u32 = 10;

/// Whether nothing holds the response back until nginx's loop comes round: what follows the header of
/// an upgrade passes no filter, and nginx waits for no page that a filter answers with.
pub fn is_due_at_once(ctx: &RequestContext) -> bool {
    let request = ctx.request();
    request.status() < 200 || request.is_answered_by_filter()
}

/// From a filter: the page is all that nginx sends.
pub fn at_once(ctx: &RequestContext, status: ngx_int_t) -> ngx_int_t {
    match ctx.request().replace_response(main_module(), status) {
        // The client has not taken all of the page. An upstream that is not told to end goes on,
        // without the contexts that nginx has forgotten, and gRPC's needs its own.
        rc::AGAIN => rc::ERROR,
        rc => rc,
    }
}

/// From a filter: the page follows as soon as nginx's loop comes round.
pub fn later(ctx: &RequestContext, status: ngx_int_t) -> ngx_int_t {
    let_nothing_through(ctx, status);
    ctx.wake_soon();
    rc::OK
}

/// From an event, while a thread is at work with the request.
pub fn when_file_is_done(ctx: &RequestContext, status: ngx_int_t) {
    let_nothing_through(ctx, status);
    ctx.wake_in(FILE_IO);
}

fn let_nothing_through(ctx: &RequestContext, status: ngx_int_t) {
    ctx.response.stage.set(Stage::Failed(status));
    ctx.request().set_buffered(true);
}

/// What comes of the response meanwhile stays in nginx's buffers, so its source waits.
pub fn takes_place_of(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    if chain.marks().last || is_over_early(ctx, chain) {
        ctx.response.end_seen.set(true);
    }
    rc::OK
}
