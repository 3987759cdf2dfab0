//! The body of a response on its way through the plugins, in the pieces that it comes in.

use std::io;

use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::answer::answer_now;
use super::end::{Stop, cut, fail, unreadable};
use super::{Response, Stage, next, send_header, trailers};
use crate::body::Body;
use crate::configuration::LocConf;
use crate::phases::loc_conf;
use crate::request::{RequestContext, Slot, Verdict};

/// Bytes made by plugins that may wait for the client before upstream does.
const UNSENT_LIMIT: usize = 256 << 10;

/// A piece of the body, and what came with it.
pub struct Piece {
    pub body: Body,
    pub marks: Marks,
    /// All plugins have seen the body; what holds it is one that has seen the trailers.
    pub with_trailers: bool,
}

impl From<Chain> for Piece {
    fn from(chain: Chain) -> Self {
        Self { body: Body::of(chain), marks: chain.marks(), with_trailers: false }
    }
}

/// Takes what upstream sent, or, with an empty chain, goes on with what waits.
pub fn take(ctx: &RequestContext, chain: Chain) -> Result<ngx_int_t, Stop> {
    let (response, pool) = (&ctx.response, ctx.request().pool());
    let mut waiting = response.waiting.get();
    if !chain.is_empty() {
        let may_pass = waiting.is_empty() && !response.header_is_held() && !lacks_only_its_end(ctx, chain);
        if may_pass && response.collect_unsent() <= UNSENT_LIMIT {
            return pass(ctx, 0, chain.into());
        }
        waiting.append(pool, chain)?;
        response.waiting.set(waiting);
    }
    if response.header_is_held() || lacks_only_its_end(ctx, waiting) {
        return Ok(rc::OK);
    }
    let rc = next(ctx, Chain::EMPTY);
    if rc == rc::ERROR || waiting.is_empty() || response.collect_unsent() > UNSENT_LIMIT {
        return Ok(rc);
    }
    response.waiting.set(Chain::EMPTY);
    let result = pass(ctx, 0, waiting.into());
    waiting.free_links(pool);
    result
}

/// Whether a chain is all of a body whose header still waits, but for nginx's word that nothing follows. Where nginx buffers a
/// response that comes by itself, right after; with it the plugins see the whole at once, and its length and tag can be kept.
fn lacks_only_its_end(ctx: &RequestContext, chain: Chain) -> bool {
    if chain.is_empty() || ctx.response.stage.get() != Stage::HeaderWaits {
        return false;
    }
    let Marks { last, flush, .. } = chain.marks();
    !last && !flush && ctx.request().content_length() == Some(chain.size() as u64)
}

/// `proxy_on_response_body` from a slot on, then the filters after ours.
pub fn pass(ctx: &RequestContext, first: usize, mut piece: Piece) -> Result<ngx_int_t, Stop> {
    let (loc, response) = (loc_conf(ctx.request()), &ctx.response);
    for slot in ctx.slots.starting_at(first).filter(|slot| sees_body(loc, slot)) {
        piece = join(response.take_held(slot.index()), piece).map_err(|error| unreadable(ctx, &error))?;
        let (size, end_of_stream) = (u32::try_from(piece.body.size()).unwrap_or(u32::MAX), piece.marks.last);
        *response.body.borrow_mut() = Some(piece.body);
        let verdict = ctx.call(slot, |http| http.on_response_body(size, end_of_stream));
        let Some(body) = response.body.take() else {
            return Err(Stop::Filter(rc::ERROR));
        };
        match verdict {
            Verdict::Continue => piece.body = body,
            Verdict::Pause => {
                hold(ctx, slot, Piece { body, ..piece })?;
                return Ok(rc::OK);
            }
            verdict => return end(ctx, body, verdict),
        }
    }
    if piece.marks.last { trailers::pass(ctx, 0, piece) } else { send(ctx, piece) }
}

/// Does what a plugin wants that lets no more of the response through.
pub fn end(ctx: &RequestContext, body: Body, verdict: Verdict) -> Result<ngx_int_t, Stop> {
    match verdict {
        Verdict::Answer(answer) => {
            body.drop_source();
            answer_now(ctx, *answer).map(|()| rc::OK)
        }
        Verdict::Fail => {
            body.drop_source();
            Err(fail(ctx, rc::SERVICE_UNAVAILABLE))
        }
        Verdict::Close | Verdict::Continue | Verdict::Pause => Err(cut(ctx)),
    }
}

/// Keeps a piece for the plugin that paused on it.
pub fn hold(ctx: &RequestContext, slot: &Slot, mut piece: Piece) -> Result<(), Stop> {
    let (size, limit) = (piece.body.size(), slot.body_buffer_size());
    if size > limit {
        let name = slot.plugin_name();
        let line = format_args!(
            "plugin \"{name}\" holds {size} bytes of a response, more than wasm_body_buffer_size ({limit})"
        );
        ctx.request().log().print(Level::Error, line);
        piece.body.drop_source();
        return Err(fail(ctx, rc::INTERNAL_SERVER_ERROR));
    }
    if piece.body.count_for(slot.memory(), size).is_err() {
        piece.body.drop_source();
        return Err(fail(ctx, rc::INTERNAL_SERVER_ERROR));
    }
    piece.body.keep().map_err(|error| unreadable(ctx, &error))?;
    // An upstream that has not finished is what the plugin may wait for, and nginx has a time for that.
    let more_follows = !piece.marks.last && ctx.response.from_upstream.get();
    ctx.response.held.make().borrow_mut().push((slot.index(), piece));
    if more_follows {
        ctx.wait_for_source()
    } else {
        ctx.pause_response()
    }
    Ok(())
}

/// Hands a piece to the filters after ours, and the header before it if that still waits.
pub fn send(ctx: &RequestContext, piece: Piece) -> Result<ngx_int_t, Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    let Piece { body, marks, .. } = piece;
    response.changed.set(response.changed.get() || body.is_changed());
    if response.stage.get() == Stage::HeaderWaits {
        response.stage.set(Stage::Body);
        describe(ctx, &body, marks)?;
        send_header(ctx)?;
    }
    if response.stage.get() == Stage::Dropping {
        // The plugins made it a response that has no body, by its status.
        if let Err(chain) = body.into_owned_or_chain() {
            chain.consume();
        }
        return Ok(rc::OK);
    }
    let chain = match body.into_owned_or_chain() {
        Ok(bytes) => response.unsent.make().add(request, bytes, marks)?,
        Err(chain) => chain,
    };
    let rc = next(ctx, chain);
    response.collect_unsent();
    Ok(rc)
}

/// Makes the header say of the body what is known of it now.
fn describe(ctx: &RequestContext, body: &Body, marks: Marks) -> Result<(), AllocError> {
    let request = ctx.request();
    let length = marks.last.then(|| body.size() as u64);
    let same_length = length.is_some() && length == request.content_length();
    request.set_content_length(length);
    match (ctx.response.changed.get(), marks.last) {
        (true, _) => ctx.response.validators.drop_changed(request, same_length),
        (false, false) => ctx.response.validators.weaken(request),
        (false, true) => Ok(()),
    }
}

/// Whether a slot is to see the body; where Lua drives it, Lua asks.
pub fn sees_body(loc: &LocConf, slot: &Slot) -> bool {
    !slot.is_driven_by_lua() && slot.wants_response_body(loc.response_body())
}

/// One piece after another.
fn join(before: Option<Piece>, piece: Piece) -> io::Result<Piece> {
    let Some(before) = before else {
        return Ok(piece);
    };
    let marks = Marks {
        last: before.marks.last | piece.marks.last,
        last_in_chain: before.marks.last_in_chain | piece.marks.last_in_chain,
        flush: before.marks.flush | piece.marks.flush,
    };
    Ok(Piece { body: piece.body.after(before.body)?, marks, with_trailers: false })
}

impl Response {
    /// What the plugin of a slot holds.
    pub(super) fn take_held(&self, slot: usize) -> Option<Piece> {
        let mut held = self.held.get()?.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }
}
