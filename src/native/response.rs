//! A response on its way through the plugins of its request: nginx's part of
//! [`proxy_wasm_host::response`], which decides what happens when.
//!
//! Pieces that no plugin changes pass as nginx's own buffers. Bytes that plugins made count until
//! the client has taken them. Above a limit no more is read from upstream, so a slow client costs
//! no memory.
//!
//! | file | what it is |
//! |---|---|
//! | `plugins` | the callbacks |
//! | `source` | the bytes that upstream sends, and those that wait |
//! | `client` | the filters after this module's, and the ends of a request |
//! | `events` | the pause timeout, and nginx's events of the request |

mod client;
mod events;
mod plugins;
mod source;

use ngx_bindings::chain::Chain;
use ngx_bindings::filter::Next;
use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};
use proxy_wasm_host::response::{self, Exchange, Response, Types};

use crate::conf::LocConf;
use crate::context::{Answer, Chunk, Piece, RequestContext, Slot};
use crate::limits;

/// The filters that were at the top of the chains when this module added its own.
pub static NEXT: Next = Next::none();

/// The header filters that were at the top of the chain before Lua added its own.
pub static BEHIND_LUA: Next = Next::none();

/// Why no more of a response passes.
type Stop = response::Stop<ngx_int_t>;

/// Answers false, for the header filter, if the response of this request has nothing to do with
/// plugins.
#[inline]
pub fn may_concern(request: Request) -> bool {
    !LocConf::of(request).attachments.is_empty() || RequestContext::may_be_of(request)
}

/// Runs the header filter for a request that plugins may see.
pub fn header_of(request: Request) -> ngx_int_t {
    if request.is_subrequest() {
        return match super::context_of_subrequest(request, false) {
            Ok(Some(ctx)) => response::header(ctx),
            Ok(None) => NEXT.header(request),
            Err(error) => error.into(),
        };
    }
    match RequestContext::of(request) {
        Some(ctx) => response::header(ctx),
        None if LocConf::of(request).attachments.is_empty() => NEXT.header(request),
        None => super::context_of(request).map_or_else(Into::into, response::header),
    }
}

/// Runs the header filter behind Lua's, which holds the header for plugins that Lua has called.
pub fn header_behind_lua(request: Request) -> ngx_int_t {
    match RequestContext::of(request) {
        Some(ctx) if response::hold_header(ctx) => rc::OK,
        _ => BEHIND_LUA.header(request),
    }
}

/// Runs the body filter for a request that plugins may see.
pub fn body_of(request: Request, chain: Chain) -> ngx_int_t {
    // The output of a subrequest of `slice` is part of the client's response.
    if request.is_subrequest() && !request.is_slice() {
        return body_of_subrequest(request, chain);
    }
    match RequestContext::of(request.main()) {
        Some(ctx) => {
            ctx.response.note_latest(request);
            response::body(ctx, Chunk(chain))
        }
        None => NEXT.body(request, chain),
    }
}

fn body_of_subrequest(request: Request, chain: Chain) -> ngx_int_t {
    match RequestContext::of(request).filter(|ctx| ctx.serves()) {
        Some(ctx) => {
            chain.end_as_request();
            response::body(ctx, Chunk(chain))
        }
        None => NEXT.body(request, chain),
    }
}

impl Types for RequestContext {
    type Slot = Slot;
    type Chunk = Chunk;
    type Piece = Piece;
    type Answer = Box<Answer>;
    type Code = ngx_int_t;
    const OK: ngx_int_t = rc::OK;
    const ERROR: ngx_int_t = rc::ERROR;
    const PIECE: usize = limits::response::PIECE;
    const TURN: usize = limits::response::TURN;
    const UNSENT: usize = limits::response::UNSENT;
}

impl Exchange for RequestContext {
    #[inline]
    fn response(&self) -> &Response<Piece> {
        &self.response.state
    }
}

/// nginx has no memory.
fn failed(_: AllocError) -> Stop {
    Stop::Filter(rc::ERROR)
}
