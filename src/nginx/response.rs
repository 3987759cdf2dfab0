//! A response on its way through the plugins of its request.
//!
//! When a plugin may change the body, the header waits for the first piece of it to come out of the plugins: a response that came
//! in one piece then still says its length, and a plugin may still answer in its place. nginx itself sends a header no earlier
//! than that, unless it is told to flush, which lets ours go, too.
//!
//! What plugins do not change passes as nginx's own buffers. What they made anew counts until the client has it: past
//! [`UNSENT_LIMIT`] nothing more is taken from upstream, so a slow client costs no memory.

use std::cell::{Cell, RefCell};
use std::io;

use ngx_bindings::chain::{Chain, Marks, OwnedBuf};
use ngx_bindings::log::Level;
use ngx_bindings::sys::ngx_int_t;
use ngx_bindings::{Request, rc};

use super::body::Body;
use super::configuration::LocConf;
use super::filters::NEXT;
use super::host::{Answer, header_count};
use super::module;
use super::phases::{loc_conf, main_conf};
use super::request::{RequestContext, Source, Verdict};
use crate::proxy_wasm::abi::MapType;

/// Bytes made by plugins that may wait for the client before upstream does.
const UNSENT_LIMIT: usize = 256 << 10;

/// How far the response of a request has come.
#[derive(Default)]
pub struct Response {
    stage: Cell<Stage>,
    /// What `proxy_on_response_body` may see now.
    pub body: RefCell<Option<Body>>,
    /// What upstream sent and no plugin has seen yet.
    waiting: RefCell<Option<Piece>>,
    /// By slot: what it holds of the body.
    held: RefCell<Vec<(usize, Piece)>>,
    /// Buffers of our own that nginx has not sent yet; it knows them by their addresses.
    #[allow(clippy::vec_box)]
    unsent: RefCell<Vec<Box<OwnedBuf>>>,
    /// A plugin changed the body.
    changed: Cell<bool>,
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
    /// Nothing concerns the plugins any more.
    Passing,
    /// A plugin answered in Lua's header filter: the answer's body goes in place of the first piece that comes.
    Answering,
    /// A plugin answered: what upstream still sends is dropped.
    Answered,
}

/// A piece of the body, and what came with it.
struct Piece {
    body: Body,
    marks: Marks,
}

/// Why the pipeline stopped: what the filter answers to nginx.
struct Stop(ngx_int_t);

impl Response {
    /// Whether the plugin of a slot holds the header or part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        self.stage.get() == Stage::HeaderHeld(slot) || self.held.borrow().iter().any(|(holder, _)| *holder == slot)
    }

    /// Whether nginx has come to the response.
    pub fn has_begun(&self) -> bool {
        self.stage.get() != Stage::Upstream
    }

    fn holds_anything(&self) -> bool {
        matches!(self.stage.get(), Stage::HeaderHeld(_)) || !self.held.borrow().is_empty()
    }

    /// Forgets buffers of ours that nginx has sent; answers how many bytes it has not.
    fn collect(&self) -> usize {
        let mut unsent = self.unsent.borrow_mut();
        unsent.retain(|buf| !buf.is_sent());
        unsent.iter().map(|buf| buf.unsent()).sum()
    }
}

/// The header filter of a request that plugins have to do with.
pub fn header(ctx: &RequestContext) -> ngx_int_t {
    if ctx.response.has_begun() {
        // nginx answers anew, with a page of its own, what plugins have seen: an error, or what replaces a response.
        ctx.response.stage.set(Stage::Passing);
        return NEXT.header(ctx.request());
    }
    let stop = open_missing(ctx).and_then(|()| header_from(ctx, 0));
    stop.map_or_else(|Stop(rc)| rc, |()| rc::OK)
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
        let count = header_count(request, MapType::HttpResponseHeaders);
        match ctx.call(slot, |http| http.on_response_headers(count, !request.expects_body())) {
            Verdict::Continue => {}
            Verdict::Pause => {
                ctx.pause_response();
                request.set_buffered(true);
                return Ok(());
            }
            Verdict::Answer(answer) => return answer_now(ctx, &answer),
            Verdict::Fail => return Err(fail(ctx, rc::SERVICE_UNAVAILABLE)),
            Verdict::Close => return Err(fail(ctx, rc::ERROR)),
        }
    }
    let loc = loc_conf(request);
    let wants_body = request.expects_body() && (0..ctx.len()).any(|slot| sees_body(ctx, loc, slot));
    if wants_body && (0..ctx.len()).any(|slot| sees_body(ctx, loc, slot) && ctx.may_change_body(slot)) {
        request.forbid_ranges();
        ctx.response.stage.set(Stage::HeaderWaits);
        return Ok(());
    }
    ctx.response.stage.set(if wants_body { Stage::Body } else { Stage::Passing });
    stop_unless_sent(NEXT.header(request))
}

fn sees_body(ctx: &RequestContext, loc: &LocConf, slot: usize) -> bool {
    !ctx.is_driven_by_lua(slot) && ctx.wants_response_body(slot, loc.response_body())
}

/// The body filter of a request that plugins have to do with.
pub fn body(ctx: &RequestContext, chain: Chain) -> ngx_int_t {
    match ctx.response.stage.get() {
        Stage::Upstream | Stage::Passing => NEXT.body(ctx.request(), chain),
        Stage::Answering => {
            chain.consume();
            ctx.response.stage.set(Stage::Answered);
            let body = ctx.response.body.take().and_then(Body::into_bytes).unwrap_or_default();
            send_answer(ctx, body)
        }
        Stage::Answered => {
            chain.consume();
            ctx.response.collect();
            NEXT.body(ctx.request(), Chain::EMPTY)
        }
        Stage::HeaderHeld(_) | Stage::HeaderWaits | Stage::Body => {
            let result = take(ctx, chain);
            let holds = ctx.response.holds_anything() || ctx.response.waiting.borrow().is_some();
            ctx.request().set_buffered(holds);
            result.unwrap_or_else(|Stop(rc)| rc)
        }
    }
}

/// Takes what upstream sent, or, with an empty chain, goes on with what waits.
fn take(ctx: &RequestContext, chain: Chain) -> Result<ngx_int_t, Stop> {
    let response = &ctx.response;
    if !chain.is_empty() {
        let piece = Piece { body: Body::of(chain), marks: chain.marks() };
        let waits = matches!(response.stage.get(), Stage::HeaderHeld(_)) || response.waiting.borrow().is_some();
        if !waits && response.collect() <= UNSENT_LIMIT {
            return pass(ctx, 0, piece);
        }
        wait(ctx, chain, piece)?;
    }
    if matches!(response.stage.get(), Stage::HeaderHeld(_)) {
        return Ok(rc::OK);
    }
    let rc = NEXT.body(ctx.request(), Chain::EMPTY);
    if rc == rc::ERROR || response.collect() > UNSENT_LIMIT {
        return Ok(rc);
    }
    match response.waiting.take() {
        Some(piece) => pass(ctx, 0, piece),
        None => Ok(rc),
    }
}

/// Keeps a copy of what upstream sent until the plugins may see it.
fn wait(ctx: &RequestContext, chain: Chain, piece: Piece) -> Result<(), Stop> {
    let waiting = ctx.response.waiting.take();
    let kept = join(waiting, piece).map_err(|error| unreadable(ctx, &error))?;
    chain.consume();
    let limit = (0..ctx.len()).map(|slot| ctx.body_buffer_size(slot)).max().unwrap_or_default();
    bounded(ctx, &kept, limit)?;
    *ctx.response.waiting.borrow_mut() = Some(kept);
    Ok(())
}

/// `proxy_on_response_body` from a slot on, then the filters after ours.
fn pass(ctx: &RequestContext, first: usize, mut piece: Piece) -> Result<ngx_int_t, Stop> {
    let loc = loc_conf(ctx.request());
    for slot in (first..ctx.len()).filter(|&slot| sees_body(ctx, loc, slot)) {
        let held = ctx.response.take_held(slot);
        let resumed = held.is_some();
        piece = join(held, piece).map_err(|error| unreadable(ctx, &error))?;
        let size = u32::try_from(piece.body.size()).unwrap_or(u32::MAX);
        let end_of_stream = piece.marks.last;
        *ctx.response.body.borrow_mut() = Some(piece.body);
        let verdict = ctx.call(slot, |http| http.on_response_body(size, end_of_stream));
        piece.body = ctx.response.body.take().unwrap_or_else(|| Body::copied(Vec::new(), true));
        match verdict {
            Verdict::Continue => {}
            Verdict::Pause => {
                hold(ctx, slot, piece, resumed)?;
                return Ok(rc::OK);
            }
            Verdict::Answer(answer) => {
                piece.body.consume();
                return answer_now(ctx, &answer).map(|()| rc::OK);
            }
            Verdict::Fail => {
                piece.body.consume();
                return Err(fail(ctx, rc::SERVICE_UNAVAILABLE));
            }
            Verdict::Close => return Err(fail(ctx, rc::ERROR)),
        }
    }
    send(ctx, piece)
}

/// Keeps a piece for the plugin that paused on it.
fn hold(ctx: &RequestContext, slot: usize, mut piece: Piece, again: bool) -> Result<(), Stop> {
    piece.body.keep().map_err(|error| unreadable(ctx, &error))?;
    bounded(ctx, &piece, ctx.body_buffer_size(slot))?;
    ctx.response.held.borrow_mut().push((slot, piece));
    if !again {
        ctx.pause_response();
    }
    Ok(())
}

fn bounded(ctx: &RequestContext, piece: &Piece, limit: usize) -> Result<(), Stop> {
    let size = piece.body.size();
    if size <= limit {
        return Ok(());
    }
    let line = format_args!("a plugin holds {size} bytes of the response, more than wasm_body_buffer_size ({limit})");
    ctx.request().log().print(Level::Error, line);
    Err(fail(ctx, rc::INTERNAL_SERVER_ERROR))
}

/// Hands a piece to the filters after ours, and the header before it if that still waits.
fn send(ctx: &RequestContext, piece: Piece) -> Result<ngx_int_t, Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    let Piece { body, marks } = piece;
    response.changed.set(response.changed.get() || body.is_changed());
    if response.stage.get() == Stage::HeaderWaits {
        response.stage.set(Stage::Body);
        describe(ctx, &body, marks).map_err(|_| Stop(rc::ERROR))?;
        stop_unless_sent(NEXT.header(request))?;
    }
    let rc = match body.into_owned_or_chain() {
        Ok(bytes) => {
            let mut buf = OwnedBuf::new(bytes, marks);
            let chain = buf.chain();
            response.unsent.borrow_mut().push(buf);
            NEXT.body(request, chain)
        }
        Err(chain) => NEXT.body(request, chain),
    };
    response.collect();
    Ok(rc)
}

/// Makes the header say of the body what is known of it now.
fn describe(ctx: &RequestContext, body: &Body, marks: Marks) -> Result<(), ngx_bindings::pool::AllocError> {
    let request = ctx.request();
    request.set_content_length(marks.last.then(|| body.size() as u64));
    // What comes later may still be changed, when the header is gone.
    if !marks.last || ctx.response.changed.get() {
        for name in [&b"etag"[..], b"content-md5", b"accept-ranges"] {
            request.remove_header_out(name)?;
        }
    }
    Ok(())
}

/// Answers in the upstream's place; what was held is gone.
fn answer_now(ctx: &RequestContext, answer: &Answer) -> Result<(), Stop> {
    let (request, response) = (ctx.request(), &ctx.response);
    if request.header_sent() {
        return Err(fail(ctx, rc::ERROR));
    }
    response.drop_held();
    answer.replace(request).map_err(|_| Stop(rc::ERROR))?;
    response.stage.set(Stage::Answered);
    stop_unless_sent(NEXT.header(request))?;
    match send_answer(ctx, answer.body.clone()) {
        rc::ERROR => Err(Stop(rc::ERROR)),
        _ => Ok(()),
    }
}

fn send_answer(ctx: &RequestContext, body: Vec<u8>) -> ngx_int_t {
    let mut buf = OwnedBuf::new(body, Marks { last: true, last_in_chain: true, flush: false });
    let chain = buf.chain();
    ctx.response.unsent.borrow_mut().push(buf);
    NEXT.body(ctx.request(), chain)
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

/// Ends the response: by a page of nginx's while the header is not sent, else by closing the connection, which the client notices.
fn fail(ctx: &RequestContext, status: ngx_int_t) -> Stop {
    ctx.response.drop_held();
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
    Ok(Piece { body: piece.body.after(before.body)?, marks })
}

impl Response {
    /// What Lua keeps of the body for the plugin of a slot.
    pub fn take_kept(&self, slot: usize) -> Vec<u8> {
        self.take_held(slot).and_then(|piece| piece.body.into_bytes()).unwrap_or_default()
    }

    /// Keeps a piece that Lua passed for the plugin of a slot.
    pub fn keep(&self, slot: usize, bytes: Vec<u8>) {
        self.held.borrow_mut().push((slot, Piece { body: Body::copied(bytes, true), marks: Marks::default() }));
    }

    fn take_held(&self, slot: usize) -> Option<Piece> {
        let mut held = self.held.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }

    fn drop_held(&self) {
        self.held.borrow_mut().clear();
        *self.waiting.borrow_mut() = None;
    }
}

impl RequestContext {
    /// Goes on with a response that plugins resumed, or held too long. The request may be gone after.
    pub fn wake_response(&self, resumed: &[usize], timed_out: bool) {
        let request = self.request();
        let mut result = if timed_out && self.response.holds_anything() {
            Err(fail(self, rc::GATEWAY_TIME_OUT))
        } else {
            Ok(rc::OK)
        };
        for &slot in resumed {
            if result.is_ok() {
                result = resume(self, slot);
            }
        }
        if result.is_ok() && self.is_closed() {
            result = Err(Stop(rc::ERROR));
        }
        if result.is_ok()
            && let Some(answer) = self.take_answer()
        {
            result = answer_now(self, &answer).map(|()| rc::OK);
        }
        request.set_buffered(self.response.holds_anything() || self.response.waiting.borrow().is_some());
        match result {
            Err(Stop(rc)) => request.finalize_in_event(rc),
            Ok(rc::ERROR) => request.finalize_in_event(rc::ERROR),
            Ok(_) => request.resume_writing(),
        }
    }
}

/// The plugin of a slot lets go of what it holds.
fn resume(ctx: &RequestContext, slot: usize) -> Result<ngx_int_t, Stop> {
    if ctx.response.stage.get() == Stage::HeaderHeld(slot) {
        header_from(ctx, slot + 1)?;
        return take(ctx, Chain::EMPTY);
    }
    match ctx.response.take_held(slot) {
        Some(piece) => pass(ctx, slot + 1, piece),
        None => Ok(rc::OK),
    }
}

/// For [`super::filters`]: whether plugins have to do with the response of this request.
pub fn concerns(request: Request) -> bool {
    !request.is_subrequest() && (!loc_conf(request).attachments.is_empty() || RequestContext::of(request).is_some())
}
