//! A request's body on its way through the plugins, piece by piece: nginx's part of
//! [`proxy_wasm_host::request`], which decides what happens when.
//!
//! nginx reads the body for whoever wants it, which is nearly always the handler of the location, and
//! passes what it has read through a chain of filters. This module's filter passes pieces on as nginx's
//! own buffers, or as buffers with the bytes that plugins made. What plugins hold is copied, so nginx
//! reads on. What must wait stays in nginx's buffers, so nginx stops to read.
//!
//! A filter runs while nginx reads, and must not end the request there: it returns the status that is to
//! end it. Whatever else ends the request does so in an event.
//!
//! | file | what it is |
//! |---|---|
//! | `framing` | whether the length of the body is told before it, and how |
//! | `plugins` | the callbacks |
//! | `end` | how a request ends in the midst of its body |

mod end;
mod framing;
mod plugins;

use ngx_bindings::chain::Chain;
use ngx_bindings::filter::NextOfRequest;
use ngx_bindings::log::Level;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};
use proxy_wasm_host::request;
use proxy_wasm_host::response::Ending;

use self::end::{end_in_event, end_in_filter};
use crate::context::{Answer, Chunk, Framing, Piece, RequestContext, Upload};
use crate::guard::guard;
use crate::limits::response::UNSENT;

/// The filter that was at the top of the chain when this module added its own.
pub static NEXT_OF_REQUEST: NextOfRequest = NextOfRequest::none();

/// Why no more of a body passes.
type Stop = Ending<Box<Answer>>;

/// The filter of requests' bodies. nginx calls it with what it has read; with an empty chain, to go on
/// with what waits.
pub fn filter(request: Request, chain: Chain) -> ngx_int_t {
    match RequestContext::of(request).and_then(|ctx| Some((ctx, ctx.upload()?))) {
        Some((ctx, upload)) => incoming(ctx, upload, chain),
        None => NEXT_OF_REQUEST.body(request, chain),
    }
}

fn incoming(ctx: &RequestContext, upload: &Upload, chain: Chain) -> ngx_int_t {
    if upload.dropping.get() {
        chain.consume();
        return rc::OK;
    }
    if upload.framing.get() != Framing::Unknown {
        framing::read(ctx, upload, chain);
    } else if framing::begin(ctx, upload).is_err() {
        return rc::INTERNAL_SERVER_ERROR;
    }
    if upload.body.is_over() {
        return pass_rest(ctx.request(), chain);
    }
    let passed = upload.passed.get();
    match asked_to_end(ctx).map_or_else(|| take(ctx, upload, chain), Err) {
        Err(stop) => return end_in_filter(ctx, upload, stop),
        Ok(()) => settle(ctx, upload, !chain.is_empty()),
    }
    // nginx's own filter writes to the file of the body, also when nothing new has come.
    if passed == upload.passed.get() { pass_rest(ctx.request(), Chain::EMPTY) } else { rc::OK }
}

/// Passes on what no plugin sees.
fn pass_rest(request: Request, chain: Chain) -> ngx_int_t {
    if chain.is_empty() && request.is_body_saved() { rc::OK } else { NEXT_OF_REQUEST.body(request, chain) }
}

/// Takes the bytes that nginx has read.
fn take(ctx: &RequestContext, upload: &Upload, chain: Chain) -> Result<(), Stop> {
    if upload.waiting.get().is_empty() && may_go_on(ctx, upload) {
        return if chain.is_empty() { Ok(()) } else { request::take(ctx, Chunk(chain).into()) };
    }
    let mut waiting = upload.waiting.get();
    waiting.append(ctx.request().pool(), chain).map_err(|_| Ending::Page(500))?;
    upload.waiting.set(waiting);
    hand_out(ctx, upload)
}

/// Passes what waits to the plugins, if it may pass now.
fn hand_out(ctx: &RequestContext, upload: &Upload) -> Result<(), Stop> {
    if upload.waiting.get().is_empty() || !may_go_on(ctx, upload) {
        return Ok(());
    }
    let mut piece = upload.waiting.replace(Chain::EMPTY);
    let taken = request::take(ctx, Chunk(piece).into());
    piece.free_links(ctx.request().pool());
    taken
}

/// Whether plugins may see more. nginx itself bounds what it keeps of a body that it reads as a whole.
fn may_go_on(ctx: &RequestContext, upload: &Upload) -> bool {
    let unsent = upload.unsent.collect();
    upload.body.has_room() && (unsent <= UNSENT || !ctx.request().is_body_unbuffered())
}

/// Starts the pause timeout if a plugin is to be called by nothing else any more, and stops it if not.
/// nginx starts its own timeout for the client after the filters have run; the event stops it.
fn settle(ctx: &RequestContext, upload: &Upload, starts: bool) {
    if upload.body.last_holder().is_none() {
        return upload.stop_clock();
    }
    if starts {
        ctx.start_upload_clock();
    }
    ctx.wake_upload_soon();
}

/// How the body is to end because of what a plugin did elsewhere, in a call's response, say.
fn asked_to_end(ctx: &RequestContext) -> Option<Stop> {
    if ctx.response.state.has_begun() {
        return None;
    }
    if ctx.is_closed() {
        return Some(Ending::Cut);
    }
    use proxy_wasm_host::response::Answer as _;
    ctx.take_answer().map(|answer| answer.page().map_or_else(|| Ending::Answer(answer), Ending::Page))
}

/// Continues a body that plugins resumed or held too long (`timed_out`), or ends it as they asked, from
/// nginx's loop. The request may be gone afterwards.
pub fn wake(ctx: &RequestContext, timed_out: bool) {
    let Some(upload) = ctx.upload() else { return };
    let continues = upload.body.is_resumed();
    match asked_to_end(ctx).map_or_else(|| woken(ctx, upload, timed_out), Err) {
        Err(stop) => return end_in_event(ctx, upload, stop),
        Ok(()) if upload.dropping.get() => return,
        Ok(()) if continues => settle(ctx, upload, true),
        Ok(()) => {}
    }
    let request = ctx.request();
    if upload.body.end_is_held() {
        request.stop_body_timeout();
        // nginx reads no more of a body that it has, and would not notice that the client leaves.
        if let Some(former) = request.read_by_own(on_client) {
            upload.reading.set(Some(former));
        }
    } else if continues {
        if let Some(former) = upload.reading.take() {
            request.read_as_before(on_client, former);
        }
        request.go_on_reading();
    }
}

/// nginx calls this when something comes from a client whose whole body has come, or when it leaves.
extern "C" fn on_client(request: Request) {
    guard((), || look_at_client(request));
}

fn look_at_client(request: Request) {
    let is_held =
        RequestContext::of(request).and_then(RequestContext::upload).is_some_and(|upload| upload.body.end_is_held());
    if is_held && request.has_client_left() {
        request.log().write(Level::Info, b"client prematurely closed connection");
        // SAFETY: nothing of the request is used afterwards.
        unsafe { request.end_for_client() }
    }
}

fn woken(ctx: &RequestContext, upload: &Upload, timed_out: bool) -> Result<(), Stop> {
    let holder = upload.body.last_holder().filter(|_| timed_out && !upload.body.is_resumed());
    if let Some(slot) = holder.and_then(|slot| ctx.slots.get(slot)) {
        let line = format_args!("plugin \"{}\" held the request past wasm_pause_timeout", slot.plugin_name());
        ctx.request().log().print(Level::Error, line);
        // Nobody waits for their answers any more.
        slot.cancel_calls();
        return Err(Ending::Page(504));
    }
    request::resume(ctx)?;
    hand_out(ctx, upload)
}

/// The buffers of a piece, with its marks.
fn chain_of(ctx: &RequestContext, upload: &Upload, piece: Piece) -> Result<Chain, Stop> {
    let marks = piece.marks;
    match piece.body.into_owned_or_chain() {
        Ok(bytes) => upload.unsent.add(ctx.request(), bytes, marks).map_err(|_| Ending::Page(500)),
        Err(chain) => Ok(chain),
    }
}
