//! nginx's page, or the operator's `error_page`, instead of a response whose header is not sent.
//!
//! An event of this module sends the page. In a filter, the source of the response still works on
//! the request. An upstream would put its response into the cache, or the file, of the request that
//! now has the page, and nginx would end the request before a page that takes time.

use ngx_bindings::chain::Chain;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::end::is_over_early;
use crate::context::{RequestContext, Stage};
use crate::identity::main_module;

/// Milliseconds until the next check of a request for which a thread reads or writes a file.
const FILE_IO: u32 = 10;

/// Whether the response cannot wait for an event: the data after an upgrade's header passes no
/// filter, and nginx does not wait for a page that a filter sends.
pub fn is_due_at_once(ctx: &RequestContext) -> bool {
    let request = ctx.request();
    request.status() < 200 || request.is_answered_by_filter()
}

/// Sends the page from a filter, at once. nginx sends nothing else.
pub fn at_once(ctx: &RequestContext, status: ngx_int_t) -> ngx_int_t {
    match ctx.request().replace_response(main_module(), status) {
        // The client has not taken all of the page. An upstream that is not told to end would
        // continue without its contexts, which nginx has cleared, and gRPC's upstream needs its
        // own.
        rc::AGAIN => rc::ERROR,
        rc => rc,
    }
}

/// Lets the event send the page, in the next turn of nginx's loop. Called in a filter.
pub fn later(ctx: &RequestContext, status: ngx_int_t) -> ngx_int_t {
    let_nothing_through(ctx, status);
    ctx.wake_soon();
    rc::OK
}

/// Lets a later event send the page, while a thread works on the request. Called in an event.
pub fn when_file_is_done(ctx: &RequestContext, status: ngx_int_t) {
    let_nothing_through(ctx, status);
    ctx.wake_in(FILE_IO);
}

fn let_nothing_through(ctx: &RequestContext, status: ngx_int_t) {
    ctx.response.stage.set(Stage::Failed(status));
    ctx.request().set_buffered(true);
}

/// Leaves the rest of the response in nginx's buffers until the page is sent, so its source waits.
pub fn takes_place_of(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    if chain.marks().last || is_over_early(ctx, chain) {
        ctx.response.end_seen.set(true);
    }
    rc::OK
}
