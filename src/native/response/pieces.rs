//! Takes the body of a response through the plugins, piece by piece.

use std::cell::RefCell;
use std::io;

use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use ngx_bindings::rc;
use ngx_bindings::sys::ngx_int_t;

use super::end::{FILTERS_PAGE, Stop, cannot_hold, end_by, fail, unreadable};
use super::{next, outlet, send_header, trailers};
use crate::conf::LocConf;
use crate::context::{Body, Piece, RequestContext, Slot, Stage, Verdict};
use crate::limits::response::{PIECE, TURN, UNSENT};

/// Takes the bytes that upstream sent. With an empty chain, continues with the bytes that wait.
pub fn take(ctx: &RequestContext, chain: Chain) -> Result<ngx_int_t, Stop> {
    let waiting = &ctx.response.waiting;
    if waiting.is_empty() && ctx.response.stage.get() == Stage::Ended {
        let rc = next(ctx, chain);
        ctx.response.collect_unsent();
        return Ok(rc);
    }
    if !chain.is_empty() && waiting.is_empty() && goes_at_once(ctx, chain) {
        return pass(ctx, 0, chain.into());
    }
    waiting.push(ctx.request().pool(), chain)?;
    if must_wait(ctx, waiting.chain()) {
        return set_aside(ctx).map(|()| rc::OK);
    }
    let rc = next(ctx, Chain::EMPTY);
    hand_out(ctx, rc)
}

/// Copies what waits, if nginx does not buffer the response: nginx then reads on, and so notices the
/// end, only when its buffers are free. So with a body that lacks only its end, and with the first
/// bytes behind a header that a plugin holds.
fn set_aside(ctx: &RequestContext) -> Result<(), Stop> {
    let response = &ctx.response;
    let chain = response.waiting.chain();
    let is_unbuffered = chain.size() > 0 && chain.marks().flush && !chain.marks().last;
    if !is_unbuffered || !lacks_only_its_end(ctx, chain) && !is_counted_behind_header(ctx, chain) {
        return Ok(());
    }
    let mut links = response.waiting.take(ctx.request().pool())?;
    let mut piece = Piece::from(links);
    let kept = piece.body.keep();
    links.free_links(ctx.request().pool());
    let whole = &mut *response.whole.make().borrow_mut();
    let joined = kept.and_then(|()| join(whole.take(), piece)).map_err(|error| unreadable(ctx, &error))?;
    *whole = Some(joined);
    Ok(())
}

/// Counts bytes behind a header for the plugin that holds it. Returns false where they are more than
/// a piece in all, or more than may be kept for the plugin: they then stay with nginx.
fn is_counted_behind_header(ctx: &RequestContext, chain: Chain) -> bool {
    let Stage::HeaderHeld(slot) = ctx.response.stage.get() else { return false };
    let Some(slot) = ctx.slots.get(slot) else { return false };
    let whole = &mut *ctx.response.whole.make().borrow_mut();
    let size = whole.as_ref().map_or(0, |piece| piece.body.size()) + chain.size();
    if size > PIECE.min(slot.body_buffer_size()) {
        return false;
    }
    let mut piece = whole.take().unwrap_or_else(|| Chain::EMPTY.into());
    let counted = piece.body.count_for(slot.memory(), size).is_ok();
    if counted || piece.body.size() > 0 {
        *whole = Some(piece);
    }
    counted
}

/// Passes what was copied behind a header that is held no longer.
pub fn pass_set_aside(ctx: &RequestContext) -> Result<ngx_int_t, Stop> {
    let response = &ctx.response;
    let size = |whole: &RefCell<Option<Piece>>| whole.borrow().as_ref().map(|piece| piece.body.size() as u64);
    let size = response.whole.get().and_then(size).filter(|size| *size > 0);
    let Some(size) = size else { return Ok(rc::OK) };
    let rest = response.waiting.chain();
    let end_follows = rest.size() == 0 && rest.marks().last
        || response.stage.get() == Stage::HeaderWaits && ctx.request().content_length() == Some(size);
    if end_follows || matches!(response.stage.get(), Stage::HeaderHeld(_)) {
        // It goes with the end, or with what the next plugin resumes.
        return Ok(rc::OK);
    }
    pass(ctx, 0, Chain::EMPTY.into())
}

/// Passes the waiting bytes to the plugins, piece by piece, while nginx's filters accept them. `rc`
/// is the last result of those filters.
pub fn hand_out(ctx: &RequestContext, mut rc: ngx_int_t) -> Result<ngx_int_t, Stop> {
    let (response, pool) = (&ctx.response, ctx.request().pool());
    let mut left = TURN;
    response.waiting.give_back();
    while rc != rc::ERROR && may_go_on(ctx) {
        if left == 0 {
            ctx.go_on_next_turn();
            break;
        }
        let mut piece = response.waiting.take(pool)?;
        left = left.saturating_sub(piece.size());
        let passed = match response.stage.get() {
            Stage::Ended => Ok(next(ctx, piece)),
            _ => pass(ctx, 0, piece.into()),
        };
        piece.free_links(pool);
        response.waiting.give_back();
        rc = passed?;
    }
    Ok(rc)
}

/// Whether a chain can pass as one piece, with nothing waiting before it.
fn goes_at_once(ctx: &RequestContext, chain: Chain) -> bool {
    let size = chain.size();
    size <= PIECE
        && !must_wait(ctx, chain)
        && ctx.response.collect_unsent() <= UNSENT
        && !ctx.response.lacks_room(ctx, size)
}

fn may_go_on(ctx: &RequestContext) -> bool {
    let waiting = &ctx.response.waiting;
    if waiting.is_empty() || must_wait(ctx, waiting.chain()) || ctx.response.collect_unsent() > UNSENT {
        return false;
    }
    let is_blocked = waiting.is_cutting() && outlet(ctx).is_blocked();
    !is_blocked && !ctx.response.lacks_room(ctx, waiting.next_size())
}

/// Whether plugins must not see a chain yet.
fn must_wait(ctx: &RequestContext, chain: Chain) -> bool {
    match ctx.response.stage.get() {
        Stage::HeaderHeld(_) => true,
        // Buffers after the end are not part of the body, and pass when the body has passed.
        Stage::HeaderWaits | Stage::Body if ctx.response.end_seen.get() => true,
        _ => lacks_only_its_end(ctx, chain),
    }
}

/// Whether a chain is the whole body, except for the buffer that marks its end, while the header
/// still waits. That buffer comes next, alone. With it, the plugins see the whole body at once, and
/// the length and the ETag can be kept. The same holds before the first byte of a body of a known
/// length, if nginx flushes its header.
fn lacks_only_its_end(ctx: &RequestContext, chain: Chain) -> bool {
    if chain.is_empty() || ctx.response.stage.get() != Stage::HeaderWaits || ctx.response.holder().is_some() {
        return false;
    }
    let (Marks { last, last_in_chain, flush }, size) = (chain.marks(), chain.size());
    let whole = |length| match size {
        0 => flush && !last_in_chain,
        size => size as u64 == length && size <= PIECE,
    };
    !last && ctx.request().content_length().is_some_and(whole)
}

/// Runs `proxy_on_response_body` from a slot on, then the filters after this module's.
pub fn pass(ctx: &RequestContext, first: usize, mut piece: Piece) -> Result<ngx_int_t, Stop> {
    let (loc, response) = (LocConf::of(ctx.request()), &ctx.response);
    response.end_seen.set(response.end_seen.get() | piece.marks.last);
    if let Some(whole) = response.whole.get() {
        piece = join(whole.take(), piece).map_err(|error| unreadable(ctx, &error))?;
    }
    for slot in ctx.slots.starting_at(first).filter(|slot| sees_body(loc, slot)) {
        let held = response.take_held(slot.index());
        let (holds, shows_nothing) = (held.is_some(), piece.body.size() == 0 && !piece.marks.last);
        piece = join(held, piece).map_err(|error| unreadable(ctx, &error))?;
        if shows_nothing && holds {
            return keep(ctx, slot, piece);
        }
        if shows_nothing {
            continue;
        }
        let (size, end_of_stream) = (u32::try_from(piece.body.size()).unwrap_or(u32::MAX), piece.marks.last);
        *response.body.borrow_mut() = Some(piece.body);
        let verdict = ctx.call(slot, |http| http.on_response_body(size, end_of_stream));
        let Some(body) = response.body.take() else {
            return Err(Stop::Filter(rc::ERROR));
        };
        match verdict {
            Verdict::Continue => piece.body = body,
            Verdict::Pause => {
                return hold(ctx, slot, Piece { body, ..piece });
            }
            verdict => {
                body.drop_source();
                return end_by(ctx, verdict).map(|()| rc::OK);
            }
        }
    }
    if piece.marks.last { trailers::pass(ctx, 0, piece) } else { send(ctx, piece) }
}

/// Keeps a piece for the plugin that paused on it.
pub fn hold(ctx: &RequestContext, slot: &Slot, mut piece: Piece) -> Result<ngx_int_t, Stop> {
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
    if piece.marks.last && ctx.request().is_answered_by_filter() {
        piece.body.drop_source();
        return Err(cannot_hold(ctx, slot, FILTERS_PAGE));
    }
    if piece.body.count_for(slot.memory(), size).is_err() {
        piece.body.drop_source();
        return Err(fail(ctx, rc::INTERNAL_SERVER_ERROR));
    }
    // If the upstream has not finished, the plugin may wait for the rest, and nginx's own timeout
    // for the upstream applies.
    let more_follows = !piece.marks.last && ctx.response.from_upstream.get();
    let kept = keep(ctx, slot, piece)?;
    if more_follows {
        ctx.wait_for_source()
    } else {
        ctx.pause_response()
    }
    Ok(kept)
}

/// Stores a piece for the plugin that holds it.
fn keep(ctx: &RequestContext, slot: &Slot, mut piece: Piece) -> Result<ngx_int_t, Stop> {
    piece.body.keep().map_err(|error| unreadable(ctx, &error))?;
    ctx.response.held.make().borrow_mut().push((slot.index(), piece));
    Ok(rc::OK)
}

/// Passes a piece to the filters after this module's, and before it the header, if the header still
/// waits.
pub fn send(ctx: &RequestContext, piece: Piece) -> Result<ngx_int_t, Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    let Piece { mut body, marks, .. } = piece;
    response.changed.set(response.changed.get() || body.is_changed());
    let mut passed = Chain::EMPTY;
    if response.stage.get() == Stage::HeaderWaits {
        if rest_is_there(ctx, &body, marks) {
            return put_by(ctx, body, marks);
        }
        if !response.passed.get().is_empty() {
            put_by(ctx, body, marks)?;
            passed = response.passed.take();
            body = Body::of(passed);
        }
        response.stage.set(Stage::Body);
        describe(ctx, &body, marks)?;
        send_header(ctx)?;
    }
    if response.stage.get() == Stage::Dropping {
        // A plugin set a status that allows no body.
        if let Err(chain) = body.into_owned_or_chain() {
            chain.consume();
        }
        return Ok(rc::OK);
    }
    if marks.last {
        response.stage.set(Stage::Ended);
    }
    if !body.suits_filters_of(request) {
        body.bytes().map_err(|error| unreadable(ctx, &error))?;
    }
    let chain = match body.into_owned_or_chain() {
        Ok(bytes) => response.unsent.make().add(request, bytes, marks)?,
        Err(chain) => chain,
    };
    let rc = next(ctx, chain);
    passed.free_links(request.pool());
    response.collect_unsent();
    Ok(rc)
}

/// Whether the header can wait for the rest of the body, because the rest is here already and small
/// enough for one turn. The header can then state the length of the body that the plugins made.
fn rest_is_there(ctx: &RequestContext, body: &Body, marks: Marks) -> bool {
    let (response, rest) = (&ctx.response, ctx.response.waiting.chain());
    !marks.last
        && rest.marks().last
        && response.passed.get().size() + body.size() + rest.size() <= TURN
        && response.collect_unsent() + body.size() <= UNSENT
}

/// Appends a piece to those that have passed the plugins.
fn put_by(ctx: &RequestContext, body: Body, marks: Marks) -> Result<ngx_int_t, Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    let chain = match body.into_owned_or_chain() {
        Ok(bytes) => response.unsent.make().add(request, bytes, marks)?,
        Err(chain) => chain,
    };
    let mut passed = response.passed.get();
    passed.append(request.pool(), chain)?;
    response.passed.set(passed);
    Ok(rc::OK)
}

/// Updates the header fields that describe the body, with what is known of it now.
fn describe(ctx: &RequestContext, body: &Body, marks: Marks) -> Result<(), AllocError> {
    let request = ctx.request();
    let length = marks.last.then(|| body.size() as u64);
    let same_length = length.is_some() && length == request.content_length();
    if same_length && !ctx.response.changed.get() {
        return Ok(());
    }
    request.set_content_length(length);
    match (ctx.response.changed.get(), marks.last) {
        (true, _) => ctx.response.validators.drop_changed(request, same_length),
        (false, false) => ctx.response.validators.weaken(request),
        (false, true) => Ok(()),
    }
}

/// Whether a slot's plugin is to see the body. For a slot that Lua drives, Lua decides.
pub fn sees_body(loc: &LocConf, slot: &Slot) -> bool {
    !slot.is_driven_by_lua() && slot.wants_response_body(loc.response_body())
}

/// Joins two pieces.
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
