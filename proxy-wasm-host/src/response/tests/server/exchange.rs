//! The traits that a server implements.

use std::fmt::Arguments;

use super::super::super::{
    self as response, Chunk as _, Client, Description, Events, Exchange, Plugins, Response, Source, Stop, Types,
    Verdict,
};
use super::super::body::{Chunk, Piece, Text};
use super::{ANSWER, Ended, INJECTED, PAGE, Sent, Server, Slot};
use crate::Callback;

impl response::Slot for Slot {
    fn index(&self) -> usize {
        self.index
    }

    fn name(&self) -> &str {
        "p"
    }

    fn is_driven_by_lua(&self) -> bool {
        self.by_lua
    }

    fn has(&self, _: Callback) -> bool {
        !self.is_gone.get()
    }

    fn may_change_body(&self) -> bool {
        true
    }

    fn body_buffer_size(&self) -> usize {
        self.limit
    }

    fn calls_pending(&self) -> bool {
        self.calls.get()
    }
}

impl Types for Server {
    type Slot = Slot;
    type Chunk = Chunk;
    type Piece = Piece;
    type Answer = Text;
    type Code = i32;
    const OK: i32 = 0;
    const ERROR: i32 = -1;
    const PIECE: usize = 4;
    const TURN: usize = 8;
    const UNSENT: usize = 5;
}

impl Plugins for Server {
    fn slots(&self, first: usize) -> impl Iterator<Item = &Slot> {
        self.slots.iter().skip(first)
    }

    fn slot(&self, index: usize) -> Option<&Slot> {
        self.slots.get(index)
    }

    fn open_missing(&self) -> Verdict<Text> {
        Verdict::Continue
    }

    fn any_has(&self, callback: Callback) -> bool {
        let has_trailers = callback != Callback::OnResponseTrailers || self.set.trailers > 0;
        has_trailers && self.slots.iter().any(|slot| !slot.by_lua)
    }

    fn sees_body(&self, slot: &Slot) -> bool {
        !slot.by_lua && !slot.is_gone.get()
    }

    fn on_headers(&self, slot: &Slot) -> Verdict<Text> {
        if slot.is_gone.get() {
            return Verdict::Continue;
        }
        assert!(!slot.header_seen.replace(true), "the header is seen once");
        self.run(Callback::OnResponseHeaders, slot).0
    }

    fn on_body(&self, slot: &Slot, piece: &mut Piece) -> Result<Verdict<Text>, Stop<i32>> {
        if slot.is_gone.get() {
            return Ok(Verdict::Continue);
        }
        let seen = slot.seen.get();
        // Behind what the plugin has let pass; or what it holds, joined with what comes after it.
        let of_source: Vec<usize> = piece.bytes.iter().copied().filter(|place| *place < INJECTED).collect();
        if piece.bytes.len() > of_source.len() && of_source.is_empty() {
            slot.end_seen.set(slot.end_seen.get() | piece.last);
            return Ok(self.run(Callback::OnResponseBody, slot).0);
        }
        let first = of_source.first().copied().unwrap_or(seen);
        let until = first + of_source.len();
        // What it held before it saw only what is new may have gone on meanwhile.
        let is_next = [slot.held_from.get(), slot.shown_from.get(), seen].contains(&first);
        assert!(is_next, "slot {}: {piece:?} after {seen} bytes", slot.index);
        assert!(of_source.into_iter().eq(first..until), "slot {}: {piece:?}", slot.index);
        let is_new = until > seen || piece.last && !slot.end_seen.get();
        assert!(is_new || slot.by_lua, "slot {} has seen {piece:?}", slot.index);
        assert!(!(piece.last && slot.end_seen.get()), "slot {} has seen the end", slot.index);
        slot.shown_from.set(first);
        if !slot.sees_new.get() {
            slot.held_from.set(first);
        }
        assert!(!slot.trailers_seen.get(), "a body behind its trailers");
        slot.seen.set(until);
        slot.end_seen.set(slot.end_seen.get() | piece.last);
        let (verdict, changes) = self.run(Callback::OnResponseBody, slot);
        slot.sees_new.set(matches!(verdict, Verdict::PauseByWatermark));
        piece.changed |= changes;
        Ok(verdict)
    }

    fn on_trailers(&self, slot: &Slot, count: u32) -> Verdict<Text> {
        if slot.is_gone.get() {
            return Verdict::Continue;
        }
        assert!(count > 0 && !slot.trailers_seen.replace(true), "trailers are seen once");
        assert!(self.slots.iter().all(|slot| slot.by_lua || slot.is_gone.get() || slot.end_seen.get()));
        self.run(Callback::OnResponseTrailers, slot).0
    }

    fn count(&self, _: &Slot, _: &mut Piece, _: usize) -> bool {
        true
    }

    fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn has_answer(&self) -> bool {
        self.answer.borrow().is_some()
    }

    fn take_answer(&self) -> Option<Text> {
        self.answer.take()
    }
}

impl Source for Server {
    fn begin(&self) {}

    fn has_active_upstream(&self) -> bool {
        self.upstream_is_active.get()
    }

    fn expects_body(&self) -> bool {
        !self.no_body.get()
    }

    fn content_length(&self) -> Option<u64> {
        self.set.content_length
    }

    fn is_fetched_in_parts(&self) -> bool {
        false
    }

    fn is_subrequest(&self) -> bool {
        false
    }

    fn is_post_action(&self) -> bool {
        self.post_action.get()
    }

    fn is_in_file_io(&self) -> bool {
        self.in_file_io.get()
    }

    fn waiting(&self) -> Chunk {
        let waiting = self.waiting.borrow();
        Chunk {
            start: waiting.front().map_or(0, |chunk| chunk.start),
            size: waiting.iter().map(|chunk| chunk.size).sum(),
            last: waiting.iter().any(|chunk| chunk.last),
            flush: waiting.iter().any(|chunk| chunk.flush),
        }
    }

    fn next_size(&self) -> usize {
        let waiting = self.waiting.borrow();
        let size = if self.next_is_part() { waiting[0].size } else { waiting.iter().map(|chunk| chunk.size).sum() };
        size.min(Self::PIECE)
    }

    fn next_is_part(&self) -> bool {
        self.waiting.borrow().front().is_some_and(|chunk| chunk.size > Self::PIECE)
    }

    fn push_waiting(&self, chunk: Chunk) -> Result<(), Stop<i32>> {
        if !chunk.is_empty() {
            self.waiting.borrow_mut().push_back(chunk);
        }
        Ok(())
    }

    fn take_waiting(&self) -> Result<Chunk, Stop<i32>> {
        let mut waiting = self.waiting.borrow_mut();
        while let [first, second, ..] = *waiting.make_contiguous() {
            if first.size + second.size > Self::PIECE {
                break;
            }
            waiting.pop_front();
            waiting[0] = Chunk {
                start: if first.size > 0 { first.start } else { second.start },
                size: first.size + second.size,
                last: first.last | second.last,
                flush: first.flush | second.flush,
            };
        }
        let first = waiting.front_mut().expect("something waits");
        if first.size <= Self::PIECE {
            return Ok(waiting.pop_front().unwrap_or_default());
        }
        let part = Chunk { size: Self::PIECE, last: false, flush: false, ..*first };
        first.start += Self::PIECE;
        first.size -= Self::PIECE;
        Ok(part)
    }

    fn give_back(&self, _: Chunk) {}

    fn drop_waiting(&self) {
        self.waiting.take().into_iter().for_each(Chunk::consume);
    }
}

impl Client for Server {
    fn header_sent(&self) -> bool {
        self.is_header_sent()
    }

    fn header_only(&self) -> bool {
        self.header_only.get()
    }

    fn cannot_wait(&self) -> Option<&'static str> {
        self.set.cannot_wait.then_some("this")
    }

    fn send_header(&self) -> Result<i32, Stop<i32>> {
        // Lua's header filter cannot wait, nor be stopped by one plugin.
        for slot in self.slots.iter().filter(|slot| slot.by_lua && !slot.is_gone.get()) {
            if self.ended.get().is_none() {
                self.state.enter_driver(slot.index);
                match self.on_headers(slot) {
                    Verdict::Pause => response::pause_by_driver(self, slot),
                    verdict => response::end_by_driver(self, verdict),
                }
                self.state.leave_driver();
            }
        }
        if response::hold_header(self) {
            return Ok(0);
        }
        self.send_header_behind_driver()
    }

    fn send_header_behind_driver(&self) -> Result<i32, Stop<i32>> {
        if self.refuses.get() {
            return Err(Stop::Filter(-1));
        }
        self.record(Sent::Header);
        self.header_only.set(self.no_body.get() && self.ended.get().is_none());
        Ok(0)
    }

    fn forbid_ranges(&self) {}

    fn describe(&self, length: Option<u64>, description: Description) -> Result<(), Stop<i32>> {
        assert!(!self.is_header_sent());
        self.described.set(Some((length, description)));
        Ok(())
    }

    fn trailer_count(&self) -> u32 {
        self.trailers.get()
    }

    fn expect_trailers(&self) {}

    fn put_by(&self, piece: Piece) -> Result<(), Stop<i32>> {
        assert!(!self.is_header_sent());
        self.put_by.borrow_mut().push(piece);
        Ok(())
    }

    fn put_by_size(&self) -> usize {
        self.put_by.borrow().iter().map(|piece| piece.bytes.len()).sum()
    }

    fn drop_put_by(&self) {
        self.put_by.take().into_iter().for_each(response::Piece::discard);
    }

    fn send(&self, piece: Piece) -> Result<i32, Stop<i32>> {
        let mut pieces = self.put_by.take();
        pieces.push(piece);
        for piece in pieces {
            if piece.copied || piece.changed {
                self.unsent.set(self.unsent.get() + piece.bytes.len());
            }
            piece.source.consume();
            self.write(piece.bytes, piece.last)?;
        }
        Ok(0)
    }

    fn pass(&self, chunk: Chunk) -> Result<i32, Stop<i32>> {
        if !chunk.is_empty() {
            chunk.consume();
            self.write(Piece::from(chunk).bytes, chunk.last)?;
        }
        Ok(0)
    }

    fn push(&self, at_end: bool) -> Result<i32, Stop<i32>> {
        self.write(Vec::new(), at_end).map(|()| 0)
    }

    fn unsent(&self) -> usize {
        self.unsent.get()
    }

    fn is_sending(&self) -> bool {
        self.unsent.get() > 0
    }

    fn is_blocked(&self) -> bool {
        self.unsent.get() > 0
    }

    fn replace_header(&self, _: &Text) -> Result<(), Stop<i32>> {
        assert!(!self.is_header_sent());
        self.end(Ended::Answer);
        Ok(())
    }

    fn send_answer(&self, _: Text) -> Result<i32, Stop<i32>> {
        self.write(vec![ANSWER], true).map(|()| 0)
    }

    fn keep_answer(&self, _: Text) {
        self.has_kept_answer.set(true);
    }

    fn send_kept_answer(&self) -> Result<i32, Stop<i32>> {
        assert!(self.has_kept_answer.take());
        self.write(vec![ANSWER], true).map(|()| 0)
    }

    fn page_as_answer(&self, status: u32) -> Text {
        Text(Some(status))
    }

    fn send_page(&self, status: u32) -> i32 {
        self.end_with_page(status, false);
        0
    }

    fn page_of(code: i32) -> Option<u32> {
        u32::try_from(code).ok().filter(|status| *status > 0)
    }

    /// The page passes these filters, as a response that plugins have seen already.
    fn end_with_page(&self, status: u32, _: bool) {
        assert!(!self.is_header_sent());
        self.end(Ended::Page(status));
        self.no_body.set(false);
        self.header();
        self.body_filter(Chunk { start: PAGE, size: 1, last: true, flush: false });
        self.record_gone();
    }

    fn refuse_output(&self) {
        self.end(Ended::Cut);
        self.refuses.set(true);
    }

    fn cut_off(&self) {
        self.end(Ended::Cut);
        self.record_gone();
    }

    fn finish_answered(&self) {}
}

impl Events for Server {
    fn set_held(&self, held: bool) {
        self.held.set(held);
    }

    fn set_body_held(&self, held: bool) {
        self.held.set(held);
    }

    fn start_clock(&self) {
        self.clock.set(true);
        self.is_woken.set(true);
    }

    fn stop_clock(&self) {
        self.clock.set(false);
    }

    fn wake_soon(&self) {
        self.is_woken.set(true);
    }

    fn wake_in(&self, _: u32) {
        self.is_woken.set(true);
    }

    fn wait_with_client(&self) {}

    fn resume_writing(&self) {
        self.written.set(self.written.get() + 1);
    }

    fn log(&self, line: Arguments<'_>) {
        self.log.borrow_mut().push(line.to_string());
    }
}

impl Exchange for Server {
    fn response(&self) -> &Response<Piece> {
        &self.state
    }
}
