//! A response on its way through the plugins of its request.
//!
//! When a plugin may change the body, the header waits for the first piece of it to come out of the plugins: a response that came
//! in one piece then still says its length, and a plugin may still answer in its place. nginx itself sends a header no earlier
//! than that, unless it is told to flush, which lets ours go, too.
//!
//! What plugins do not change passes as nginx's own buffers. What they made anew counts until the client has it: past
//! [`UNSENT_LIMIT`] nothing more is taken from upstream, so a slow client costs no memory. What may not go on yet stays in nginx's
//! buffers, which nginx does not fill again until they are taken; only what a plugin was shown and holds is copied.

mod resume;
mod trailers;
mod validators;

use std::cell::{Cell, RefCell};
use std::io;

use ngx_bindings::chain::{Chain, Marks};
use ngx_bindings::log::Level;
use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};

use self::validators::Validators;
use super::body::Body;
use super::configuration::LocConf;
use super::filters::NEXT;
use super::host::{Answer, header_count};
use super::lua::Kept;
use super::module;
use super::phases::{loc_conf, main_conf};
use super::request::{RequestContext, Source, Verdict};
use super::unsent::Unsent;
use crate::proxy_wasm::Callback;
use crate::proxy_wasm::abi::MapType;

/// Bytes made by plugins that may wait for the client before upstream does.
const UNSENT_LIMIT: usize = 256 << 10;

/// How far the response of a request has come.
#[derive(Default)]
pub struct Response {
    stage: Cell<Stage>,
    /// What `proxy_on_response_body` may see now.
    pub body: RefCell<Option<Body>>,
    /// What upstream sent and no plugin has seen yet: links of ours to nginx's buffers.
    waiting: Cell<Chain>,
    /// By slot: what it holds of the body.
    held: RefCell<Vec<(usize, Piece)>>,
    /// What Lua keeps of the body for plugins.
    pub kept: Kept,
    /// What plugins made of the body and nginx has not sent yet.
    unsent: Unsent,
    /// A plugin changed the body.
    changed: Cell<bool>,
    /// What the header says of the body.
    pub validators: Validators,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// nginx has no header yet.
    #[default]
    Upstream,
    /// The plugin of this slot holds the header, and with it everything behind.
    HeaderHeld(usize),
    /// The plugins have seen the header; it waits for the body.
    HeaderWaits,
    /// The header is sent, the body goes through the plugins.
    Body,
    /// The header is sent, and no plugin sees the body; but trailers may come with its end.
    Trailers,
    /// Nothing concerns the plugins any more.
    Passing,
    /// A plugin answered in Lua's header filter: the answer's body goes in place of the first piece that comes.
    Answering,
    /// What upstream still sends is dropped: a plugin answered, or the response is only a header.
    Dropping,
}

/// A piece of the body, and what came with it.
struct Piece {
    body: Body,
    marks: Marks,
    /// All plugins have seen the body; what holds it is one that has seen the trailers.
    with_trailers: bool,
}

impl From<Chain> for Piece {
    fn from(chain: Chain) -> Self {
        Self { body: Body::of(chain), marks: chain.marks(), with_trailers: false }
    }
}

/// Why the pipeline stopped: what the filter answers to nginx.
struct Stop(ngx_int_t);

impl From<AllocError> for Stop {
    fn from(_: AllocError) -> Self {
        Self(rc::ERROR)
    }
}

impl Response {
    /// Whether the plugin of a slot holds the header or part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        self.stage.get() == Stage::HeaderHeld(slot)
            || self.held.borrow().iter().any(|(holder, _)| *holder == slot)
            || self.kept.is_kept_by(slot)
    }

    /// Whether nginx has come to the response.
    pub fn has_begun(&self) -> bool {
        self.stage.get() != Stage::Upstream
    }

    /// Lua has come to the response. Our filter, before Lua's, has seen nothing of it if no plugin had met the request by then.
    pub fn begin_in_lua(&self) {
        if !self.has_begun() {
            self.stage.set(Stage::Passing);
        }
    }

    fn header_is_held(&self) -> bool {
        matches!(self.stage.get(), Stage::HeaderHeld(_))
    }

    /// The slot whose plugin holds something.
    fn holder(&self) -> Option<usize> {
        match self.stage.get() {
            Stage::HeaderHeld(slot) => Some(slot),
            _ => self.held.borrow().first().map(|(slot, _)| *slot).or_else(|| self.kept.holder()),
        }
    }
}

/// The header filter of a request that plugins have to do with.
pub fn header(ctx: &RequestContext) -> ngx_int_t {
    if ctx.response.has_begun() {
        // nginx answers anew, with a page of its own, what plugins have seen: an error, or what replaces a response.
        drop_all(ctx);
        ctx.response.stage.set(Stage::Passing);
        return NEXT.header(ctx.request());
    }
    let result = open_missing(ctx).and_then(|()| match ctx.take_answer() {
        // It came while nginx was busy with the request elsewhere.
        Some(answer) => answer_now(ctx, *answer),
        None => header_from(ctx, 0),
    });
    result.map_or_else(|Stop(rc)| rc, |()| rc::OK)
}

/// nginx may answer before a plugin's phase has come; the plugin then sees the response alone, as with Envoy.
fn open_missing(ctx: &RequestContext) -> Result<(), Stop> {
    let request = ctx.request();
    for attached in &loc_conf(request).attachments {
        let source = Source::Directive(attached.index);
        if ctx.position(source).is_none() {
            let plugin = main_conf(request).worker().context(attached.index);
            if let Err(Verdict::Fail) = ctx.open(source, plugin, attached.policy) {
                return Err(fail(ctx, rc::SERVICE_UNAVAILABLE));
            }
        }
    }
    Ok(())
}

/// `proxy_on_response_headers` from a slot on; then the header goes, or waits for the body.
fn header_from(ctx: &RequestContext, first: usize) -> Result<(), Stop> {
    let request = ctx.request();
    for slot in first..ctx.len() {
        if ctx.is_driven_by_lua(slot) {
            continue;
        }
        ctx.response.stage.set(Stage::HeaderHeld(slot));
        let asks = ctx.has(slot, Callback::OnResponseHeaders);
        let count = if asks { header_count(request, MapType::HttpResponseHeaders) } else { 0 };
        match ctx.call(slot, |http| http.on_response_headers(count, !request.expects_body())) {
            Verdict::Continue => {}
            Verdict::Pause if request.status() < 200 => {
                let name = ctx.plugin_name(slot);
                let line =
                    format_args!("plugin \"{name}\" cannot hold an upgrade: what follows its header is no response");
                request.log().print(Level::Error, line);
                return Err(fail(ctx, rc::INTERNAL_SERVER_ERROR));
            }
            Verdict::Pause => {
                ctx.pause_response();
                request.set_buffered(true);
                return Ok(());
            }
            Verdict::Answer(answer) => return answer_now(ctx, *answer),
            Verdict::Fail => return Err(fail(ctx, rc::SERVICE_UNAVAILABLE)),
            Verdict::Close => return Err(fail(ctx, rc::ERROR)),
        }
    }
    let loc = loc_conf(request);
    let wants_body = ctx.any_has(Callback::OnResponseBody)
        && request.expects_body()
        && (0..ctx.len()).any(|slot| sees_body(ctx, loc, slot));
    if wants_body && (0..ctx.len()).any(|slot| sees_body(ctx, loc, slot) && ctx.may_change_body(slot)) {
        request.forbid_ranges();
        ctx.response.stage.set(Stage::HeaderWaits);
        return Ok(());
    }
    ctx.response.stage.set(match wants_body {
        true => Stage::Body,
        false if request.expects_body() && trailers::concern(ctx) => Stage::Trailers,
        false => Stage::Passing,
    });
    send_header(ctx)
}

/// Sends the header, behind which there may be nothing: whoever makes the body did not know, if the header was held.
fn send_header(ctx: &RequestContext) -> Result<(), Stop> {
    stop_unless_sent(NEXT.header(ctx.request()))?;
    if ctx.request().header_only() {
        ctx.response.stage.set(Stage::Dropping);
        drop_all(ctx);
    }
    Ok(())
}

fn sees_body(ctx: &RequestContext, loc: &LocConf, slot: usize) -> bool {
    !ctx.is_driven_by_lua(slot) && ctx.wants_response_body(slot, loc.response_body())
}

/// The body filter of a request that plugins have to do with.
pub fn body(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    match ctx.response.stage.get() {
        Stage::Upstream | Stage::Passing => next(ctx, chain),
        Stage::Trailers if !trailers::come_with(ctx, chain) => next(ctx, chain),
        Stage::Answering => {
            chain.consume();
            ctx.response.stage.set(Stage::Dropping);
            let body = ctx.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
            ctx.end_upstream_soon();
            send_answer(ctx, body).unwrap_or_else(|Stop(rc)| rc)
        }
        Stage::Dropping => {
            chain.consume();
            let rc = next(ctx, Chain::EMPTY);
            ctx.response.unsent.collect();
            rc
        }
        Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body | Stage::Trailers => {
            let result = take(ctx, chain);
            settle(ctx);
            result.unwrap_or_else(|Stop(rc)| rc)
        }
    }
}

/// The body filters after ours. Called without a buffer while nothing of theirs waits, nginx's last filter sees a mistake.
fn next(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    if chain.is_empty() && !ctx.request().is_sending() { rc::OK } else { NEXT.body(ctx.request(), chain) }
}

/// Tells nginx, and the clock, whether something waits for a plugin.
fn settle(ctx: &RequestContext) {
    let held = ctx.response.holder().is_some();
    ctx.request().set_buffered(held || !ctx.response.waiting.get().is_empty());
    if !held {
        ctx.pause.stop_clock();
    }
}

/// Takes what upstream sent, or, with an empty chain, goes on with what waits.
fn take(ctx: &RequestContext, chain: Chain) -> Result<ngx_int_t, Stop> {
    let (response, pool) = (&ctx.response, ctx.request().pool());
    let mut waiting = response.waiting.get();
    if !chain.is_empty() {
        let may_pass = waiting.is_empty() && !response.header_is_held() && !lacks_only_its_end(ctx, chain);
        if may_pass && response.unsent.collect() <= UNSENT_LIMIT {
            return pass(ctx, 0, chain.into());
        }
        waiting.append(pool, chain)?;
        response.waiting.set(waiting);
    }
    if response.header_is_held() || lacks_only_its_end(ctx, waiting) {
        return Ok(rc::OK);
    }
    let rc = next(ctx, Chain::EMPTY);
    if rc == rc::ERROR || waiting.is_empty() || response.unsent.collect() > UNSENT_LIMIT {
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
fn pass(ctx: &RequestContext, first: usize, mut piece: Piece) -> Result<ngx_int_t, Stop> {
    let (loc, response) = (loc_conf(ctx.request()), &ctx.response);
    for slot in (first..ctx.len()).filter(|&slot| sees_body(ctx, loc, slot)) {
        piece = join(response.take_held(slot), piece).map_err(|error| unreadable(ctx, &error))?;
        let (size, end_of_stream) = (u32::try_from(piece.body.size()).unwrap_or(u32::MAX), piece.marks.last);
        *response.body.borrow_mut() = Some(piece.body);
        let verdict = ctx.call(slot, |http| http.on_response_body(size, end_of_stream));
        let Some(body) = response.body.take() else {
            return Err(Stop(rc::ERROR));
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
fn end(ctx: &RequestContext, body: Body, verdict: Verdict) -> Result<ngx_int_t, Stop> {
    match verdict {
        Verdict::Answer(answer) => {
            body.drop_source();
            answer_now(ctx, *answer).map(|()| rc::OK)
        }
        Verdict::Fail => {
            body.drop_source();
            Err(fail(ctx, rc::SERVICE_UNAVAILABLE))
        }
        Verdict::Close | Verdict::Continue | Verdict::Pause => Err(fail(ctx, rc::ERROR)),
    }
}

/// Keeps a piece for the plugin that paused on it.
fn hold(ctx: &RequestContext, slot: usize, mut piece: Piece) -> Result<(), Stop> {
    let (size, limit) = (piece.body.size(), ctx.body_buffer_size(slot));
    if size > limit {
        let name = ctx.plugin_name(slot);
        let line = format_args!(
            "plugin \"{name}\" holds {size} bytes of a response, more than wasm_body_buffer_size ({limit})"
        );
        ctx.request().log().print(Level::Error, line);
        piece.body.drop_source();
        return Err(fail(ctx, rc::INTERNAL_SERVER_ERROR));
    }
    piece.body.keep().map_err(|error| unreadable(ctx, &error))?;
    ctx.response.held.borrow_mut().push((slot, piece));
    ctx.pause_response();
    Ok(())
}

/// Hands a piece to the filters after ours, and the header before it if that still waits.
fn send(ctx: &RequestContext, piece: Piece) -> Result<ngx_int_t, Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    let Piece { body, marks, .. } = piece;
    response.changed.set(response.changed.get() || body.is_changed());
    if response.stage.get() == Stage::HeaderWaits {
        response.stage.set(Stage::Body);
        describe(ctx, &body, marks)?;
        send_header(ctx)?;
    }
    let chain = match body.into_owned_or_chain() {
        Ok(bytes) => response.unsent.add(request, bytes, marks)?,
        Err(chain) => chain,
    };
    let rc = next(ctx, chain);
    response.unsent.collect();
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

/// Answers in the upstream's place; what was held is gone.
fn answer_now(ctx: &RequestContext, answer: Answer) -> Result<(), Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    if request.header_sent() {
        return Err(fail(ctx, rc::ERROR));
    }
    drop_all(ctx);
    answer.replace(request)?;
    response.stage.set(Stage::Dropping);
    send_header(ctx)?;
    match send_answer(ctx, answer.body)? {
        rc::ERROR => Err(Stop(rc::ERROR)),
        _ => {
            ctx.end_upstream_soon();
            Ok(())
        }
    }
}

fn send_answer(ctx: &RequestContext, body: Vec<u8>) -> Result<ngx_int_t, Stop> {
    if ctx.request().header_only() {
        return Ok(rc::OK);
    }
    let marks = Marks { last: true, last_in_chain: true, flush: false };
    let chain = ctx.response.unsent.add(ctx.request(), body, marks)?;
    Ok(next(ctx, chain))
}

/// As [`answer_now`] from Lua's header filter, behind ours: it sends the header itself, and the body comes through our filter later.
pub fn answer_later(ctx: &RequestContext, answer: Answer) -> Verdict {
    match answer.replace(ctx.request()) {
        Ok(()) => {
            *ctx.response.body.borrow_mut() = Some(Body::copied(answer.body, true));
            ctx.response.stage.set(Stage::Answering);
            Verdict::Continue
        }
        Err(_) => Verdict::Fail,
    }
}

/// Lets go of everything that waits.
fn drop_all(ctx: &RequestContext) {
    ctx.response.held.borrow_mut().clear();
    let mut waiting = ctx.response.waiting.replace(Chain::EMPTY);
    waiting.consume();
    waiting.free_links(ctx.request().pool());
    ctx.pause.stop_clock();
}

/// Ends the response: by a page of nginx's while the header is not sent, else by closing the connection, which the client notices.
fn fail(ctx: &RequestContext, status: ngx_int_t) -> Stop {
    drop_all(ctx);
    ctx.response.stage.set(Stage::Passing);
    if ctx.request().header_sent() || status == rc::ERROR {
        return Stop(rc::ERROR);
    }
    Stop(ctx.request().replace_response(module::main_module(), status))
}

fn unreadable(ctx: &RequestContext, error: &io::Error) -> Stop {
    ctx.request().log().print(Level::Error, format_args!("the response's body cannot be read: {error}"));
    fail(ctx, rc::INTERNAL_SERVER_ERROR)
}

/// nginx's rule for what a header filter answers.
fn stop_unless_sent(rc: ngx_int_t) -> Result<(), Stop> {
    if rc == rc::ERROR || rc > rc::OK { Err(Stop(rc)) } else { Ok(()) }
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
    fn take_held(&self, slot: usize) -> Option<Piece> {
        let mut held = self.held.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }
}

/// For [`super::filters`]: whether plugins have to do with the response of this request.
pub fn concerns(request: Request) -> bool {
    !request.is_subrequest() && (!loc_conf(request).attachments.is_empty() || RequestContext::of(request).is_some())
}
