//! How a response ends early: a plugin answers, fails, closes it or holds it too long, or its
//! source does not finish it.
//!
//! Until the header is sent, an answer or the server's page replaces the response; after that, the
//! client is cut off. An event sends the page: in a filter, the source still works on the request,
//! and would put its response into the cache, or the file, of the request that now has the page.

use std::io;

use super::exchange::{Chunk, Exchange, Slot};
use super::header::send_header;
use super::held::Held;
use super::pieces::INTERNAL_ERROR;
use super::state::Stage;
use super::verdict::{Ending, Verdict};

/// Milliseconds until the next check of a request for which a thread reads or writes a file.
const FILE_IO: u32 = 10;

/// The status of the page for an upstream that did not finish its response.
const BAD_GATEWAY: u32 = 502;

/// Why no more of a response passes.
#[derive(Debug)]
pub enum Stop<C> {
    /// The server's page of this status is to replace the response, whose header is not sent.
    Page(u32),
    /// The client is to be cut off.
    Cut,
    /// A later filter failed, with this result.
    Filter(C),
}

impl<C: Copy> Stop<C> {
    /// Ends the response in a filter. Returns the filter's result.
    pub(super) fn in_filter<E: Exchange<Code = C>>(self, exchange: &E) -> C {
        match self {
            Self::Page(status) if exchange.cannot_wait().is_some() => exchange.send_page(status),
            Self::Page(status) => {
                let_nothing_through(exchange, status);
                exchange.wake_soon();
                E::OK
            }
            Self::Cut => {
                // The server may go on all the same, because it wants the response for its cache,
                // or because a filter keeps the bytes. The event then cuts the client off.
                exchange.refuse_output();
                exchange.wake_soon();
                E::ERROR
            }
            Self::Filter(code) => code,
        }
    }

    /// Ends the response from an event. The request may be gone afterwards.
    pub(super) fn in_event<E: Exchange<Code = C>>(self, exchange: &E, source_is_over: bool) {
        match self {
            Self::Page(status) if exchange.is_in_file_io() => {
                let_nothing_through(exchange, status);
                exchange.wake_in(FILE_IO);
            }
            Self::Page(status) => exchange.end_with_page(status, source_is_over),
            Self::Cut => exchange.cut_off(),
            Self::Filter(code) => match E::page_of(code).filter(|_| !exchange.header_sent()) {
                Some(status) => exchange.end_with_page(status, source_is_over),
                None => exchange.cut_off(),
            },
        }
    }
}

fn let_nothing_through<E: Exchange>(exchange: &E, status: u32) {
    exchange.response().stage.set(Stage::Failed(status));
    exchange.set_held(true);
}

/// Ends the response: by the page of this status until the header is sent, and after that by
/// cutting the client off.
pub(super) fn fail<E: Exchange>(exchange: &E, status: u32) -> Stop<E::Code> {
    if exchange.header_sent() {
        return cut(exchange);
    }
    drop_all(exchange);
    drop(exchange.take_answer());
    exchange.response().stage.set(Stage::Passing);
    Stop::Page(status)
}

/// Ends the response by cutting the client off.
pub(super) fn cut<E: Exchange>(exchange: &E) -> Stop<E::Code> {
    drop_all(exchange);
    exchange.response().stage.set(Stage::Cut);
    Stop::Cut
}

/// Ends a response that a plugin pauses although it must continue at once.
pub(super) fn cannot_hold<E: Exchange>(exchange: &E, slot: &E::Slot, what: &str) -> Stop<E::Code> {
    exchange.log(format_args!("plugin \"{}\" cannot hold {what}", slot.name()));
    fail(exchange, INTERNAL_ERROR)
}

/// Ends a response whose body cannot be read from where the source has it.
pub fn unreadable<E: Exchange>(exchange: &E, error: &io::Error) -> Stop<E::Code> {
    exchange.log(format_args!("the response's body cannot be read: {error}"));
    fail(exchange, INTERNAL_ERROR)
}

/// Ends the response if that is what a verdict means, which is seldom.
#[inline]
pub(super) fn end_by<E: Exchange>(exchange: &E, verdict: Verdict<E::Answer>) -> Result<(), Stop<E::Code>> {
    match verdict {
        Verdict::Continue | Verdict::Pause => Ok(()),
        verdict => end_now_by(exchange, verdict),
    }
}

#[cold]
fn end_now_by<E: Exchange>(exchange: &E, verdict: Verdict<E::Answer>) -> Result<(), Stop<E::Code>> {
    match verdict.ending(exchange.header_sent()) {
        None => Ok(()),
        Some(Ending::Answer(answer)) => answer_now(exchange, answer),
        Some(Ending::Page(status)) => Err(fail(exchange, status)),
        Some(Ending::Cut) => Err(cut(exchange)),
    }
}

/// Sends an answer instead of the upstream's response, and drops what was held.
fn answer_now<E: Exchange>(exchange: &E, answer: E::Answer) -> Result<(), Stop<E::Code>> {
    drop_all(exchange);
    exchange.replace_header(&answer)?;
    let response = exchange.response();
    // Where a driver has seen the header, its plugins are not to see the body of another one.
    response.stage.set(if response.is_header_behind_driver() { Stage::Answered } else { Stage::Dropping });
    send_header(exchange)?;
    if !exchange.header_only() {
        exchange.send_answer(answer)?;
    }
    exchange.wake_soon();
    Ok(())
}

/// Sends the body of an answer that replaced the header in Lua's header filter.
pub(super) fn send_kept_answer<E: Exchange>(exchange: &E) -> Result<E::Code, Stop<E::Code>> {
    drop_all(exchange);
    exchange.response().stage.set(Stage::Answered);
    exchange.wake_soon();
    exchange.send_kept_answer()
}

/// Whether a plugin closed, answered or failed outside the response's callbacks.
pub(super) fn is_asked_for<E: Exchange>(exchange: &E) -> bool {
    (exchange.is_closed() || exchange.has_answer()) && !exchange.is_post_action()
}

/// Ends the response as a plugin asked (see [`is_asked_for`]), before more of it gets past a plugin
/// that may have failed.
pub(super) fn as_asked<E: Exchange>(exchange: &E, chunk: E::Chunk) -> Result<(), Stop<E::Code>> {
    exchange.response().see_end(chunk.is_last());
    chunk.consume();
    match exchange.take_answer() {
        Some(answer) if !exchange.is_closed() => end_by(exchange, Verdict::Answer(answer)),
        _ => Err(cut(exchange)),
    }
}

/// Whether the server has finished with the response, although the end of the body has not come and
/// will not come. If an upstream does not finish a response, the server sends the bytes that it has.
pub(super) fn is_over_early<E: Exchange>(exchange: &E, chunk: E::Chunk) -> bool {
    let is_truncated =
        || exchange.response().from_upstream.get() && chunk.is_flush() && !exchange.has_active_upstream();
    exchange.is_post_action() || is_truncated()
}

/// Ends a response of [`is_over_early`] as the server would have done. Pieces that plugins hold are
/// lost.
pub(super) fn without_its_end<E: Exchange>(exchange: &E, chunk: E::Chunk) -> Result<E::Code, Stop<E::Code>> {
    let response = exchange.response();
    drop_all(exchange);
    if !exchange.header_sent() && !exchange.is_post_action() {
        response.end_seen.set(true);
        let_nothing_through(exchange, BAD_GATEWAY);
        exchange.wake_soon();
        return Ok(E::OK);
    }
    response.stage.set(Stage::Passing);
    exchange.set_held(false);
    exchange.pass(chunk)
}

/// Drops everything that is held or waits in the filters.
pub(super) fn drop_all<E: Exchange>(exchange: &E) {
    let response = exchange.response();
    response.end_seen.set(source_has_ended(exchange));
    if let Some(rare) = response.rare() {
        rare.held.clear();
    }
    response.release_driver();
    if let Some(rare) = response.rare() {
        rare.injected.borrow_mut().clear();
        drop(rare.aside.take());
    }
    exchange.drop_put_by();
    exchange.drop_waiting();
    exchange.stop_clock();
}

/// Whether the source has sent the whole body, as far as is known here.
pub(super) fn source_has_ended<E: Exchange>(exchange: &E) -> bool {
    let response = exchange.response();
    response.end_seen.get() || exchange.waiting().is_last() || response.held().is_some_and(Held::has_end)
}

/// Ends the plugins' part in the response, because a `post_action` runs now.
#[cold]
pub fn leave<E: Exchange>(exchange: &E) {
    if exchange.response().has_begun() {
        drop_all(exchange);
        exchange.response().stage.set(Stage::Passing);
        exchange.set_held(false);
    }
}
