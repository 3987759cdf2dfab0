//! A server of plain structs. The bytes of a body are the numbers of their places, so that each can
//! be followed; a plugin does what its test says, or what comes next in an order. It checks at once
//! what must hold at any time.

mod exchange;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use super::super::{self as response, Description, Response, Stop, Verdict};
use super::body::{Chunk, Piece, Text, consumed, forget_consumed};
use crate::Callback;

/// Places of the bytes of a page and of an answer.
pub const PAGE: usize = 1000;
pub const ANSWER: usize = 2000;

/// The place of a byte that a plugin injects: this, and the number of its slot.
pub const INJECTED: usize = 500;

/// What a callback does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Does {
    Continue,
    Change,
    Pause,
    /// Pauses, and sees only what is new in its next call.
    PauseByWatermark,
    /// Pauses, and resumes before it returns.
    PauseAndResume,
    Answer,
    /// Fails, and the policy closes the request.
    Fail,
    /// Fails, and the request continues without the plugin.
    FailOpen,
    Close,
    /// Sets a status that allows no body.
    SetNoBody,
    /// Injects a byte, and then continues, or pauses.
    Inject,
    InjectAndPause,
    /// Injects a byte and the end, and then continues, or pauses.
    InjectEnd,
    InjectEndAndPause,
}

pub struct Slot {
    index: usize,
    pub by_lua: bool,
    pub calls: Cell<bool>,
    pub limit: usize,
    is_gone: Cell<bool>,
    /// How many bytes of the body the plugin has seen, and where the latest piece began.
    seen: Cell<usize>,
    held_from: Cell<usize>,
    /// Where what the plugin has seen last began.
    pub shown_from: Cell<usize>,
    /// Whether what it sees next is only what is new, although it holds more.
    sees_new: Cell<bool>,
    pub end_seen: Cell<bool>,
    trailers_seen: Cell<bool>,
    header_seen: Cell<bool>,
}

/// What the client gets, and how the request ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    Header,
    Bytes(Vec<usize>),
    End,
    /// The request ended in an event.
    Gone,
}

/// How a response ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Answer,
    Page(u32),
    Cut,
}

/// How a server of a test is.
#[derive(Clone, Copy, Debug)]
pub struct Set {
    pub plugins: usize,
    pub by_lua: usize,
    pub from_upstream: bool,
    pub content_length: Option<u64>,
    pub trailers: u32,
    pub limit: usize,
    pub cannot_wait: bool,
}

impl Set {
    pub const UPSTREAM: Self = Self {
        plugins: 1,
        by_lua: 0,
        from_upstream: true,
        content_length: None,
        trailers: 0,
        limit: 100,
        cannot_wait: false,
    };
}

/// Says what the next callback of a slot does.
pub type Script = Box<dyn Fn(Callback, usize) -> Does>;

pub struct Server {
    pub set: Set,
    pub state: Response<Piece>,
    pub slots: Vec<Slot>,
    script: Script,
    pub sent: RefCell<Vec<Sent>>,
    pub ended: Cell<Option<Ended>>,
    pub described: Cell<Option<(Option<u64>, Description)>>,
    pub log: RefCell<Vec<String>>,
    waiting: RefCell<VecDeque<Chunk>>,
    put_by: RefCell<Vec<Piece>>,
    answer: RefCell<Option<Text>>,
    pub closed: Cell<bool>,
    pub upstream_is_active: Cell<bool>,
    pub post_action: Cell<bool>,
    pub in_file_io: Cell<bool>,
    no_body: Cell<bool>,
    header_only: Cell<bool>,
    pub unsent: Cell<usize>,
    pub held: Cell<bool>,
    pub clock: Cell<bool>,
    pub is_woken: Cell<bool>,
    refuses: Cell<bool>,
    has_kept_answer: Cell<bool>,
    trailers: Cell<u32>,
    pub written: Cell<usize>,
}

impl Server {
    pub fn new(set: Set, script: Script) -> Self {
        forget_consumed();
        let slot = |index| Slot {
            index,
            by_lua: index >= set.plugins - set.by_lua,
            calls: Cell::new(false),
            limit: set.limit,
            is_gone: Cell::new(false),
            seen: Cell::new(0),
            held_from: Cell::new(0),
            shown_from: Cell::new(0),
            sees_new: Cell::new(false),
            end_seen: Cell::new(false),
            trailers_seen: Cell::new(false),
            header_seen: Cell::new(false),
        };
        Self {
            set,
            state: Response::default(),
            slots: (0..set.plugins).map(slot).collect(),
            script,
            sent: RefCell::default(),
            ended: Cell::default(),
            described: Cell::default(),
            log: RefCell::default(),
            waiting: RefCell::default(),
            put_by: RefCell::default(),
            answer: RefCell::default(),
            closed: Cell::default(),
            upstream_is_active: Cell::new(set.from_upstream),
            post_action: Cell::default(),
            in_file_io: Cell::default(),
            no_body: Cell::default(),
            header_only: Cell::default(),
            unsent: Cell::default(),
            held: Cell::default(),
            clock: Cell::default(),
            is_woken: Cell::default(),
            refuses: Cell::default(),
            has_kept_answer: Cell::default(),
            trailers: Cell::new(set.trailers),
            written: Cell::default(),
        }
    }

    /// The bytes that the client has, and whether their end.
    pub fn body(&self) -> (Vec<usize>, bool) {
        let sent = self.sent.borrow();
        let bytes = sent.iter().filter_map(|sent| if let Sent::Bytes(bytes) = sent { Some(bytes) } else { None });
        (bytes.flatten().copied().collect(), sent.contains(&Sent::End))
    }

    pub fn is_header_sent(&self) -> bool {
        self.sent.borrow().contains(&Sent::Header)
    }

    pub fn is_without_body(&self) -> bool {
        self.header_only.get()
    }

    /// Whether the plugin of a slot holds, and has seen the end.
    pub fn holds_end(&self, slot: usize) -> bool {
        self.state.is_held_by(slot) && self.slots[slot].end_seen.get()
    }

    pub fn is_gone(&self) -> bool {
        self.sent.borrow().contains(&Sent::Gone)
    }

    /// The places that the source has got back.
    pub fn consumed(&self) -> Vec<usize> {
        consumed()
    }

    pub fn nothing_waits(&self) -> bool {
        self.waiting.borrow().is_empty() && self.put_by.borrow().is_empty()
    }

    /// The header comes, and Lua's header filter after it.
    pub fn header(&self) {
        response::header(self);
    }

    pub fn body_filter(&self, chunk: Chunk) {
        response::body(self, chunk);
    }

    /// A plugin resumes, from a callback elsewhere.
    pub fn resume(&self, slot: usize) {
        if self.state.resume(slot) {
            self.is_woken.set(true);
        }
    }

    /// A plugin injects a byte.
    pub fn inject(&self, slot: usize, last: bool) -> bool {
        let piece = Piece { bytes: vec![INJECTED + slot], last, changed: true, copied: true, ..Piece::default() };
        let is_injected = self.state.inject(slot, piece, self.slots[slot].by_lua);
        self.is_woken.set(self.is_woken.get() || is_injected);
        is_injected
    }

    pub fn answer(&self, answer: Text) {
        self.answer.borrow_mut().get_or_insert(answer);
        self.is_woken.set(true);
    }

    pub fn close(&self) {
        self.closed.set(true);
        self.is_woken.set(true);
    }

    /// The plugin of a slot fails while it is not called.
    pub fn fail_open(&self, slot: usize) {
        self.slots[slot].is_gone.set(true);
        self.resume(slot);
    }

    pub fn turn(&self) {
        if self.is_woken.take() && !self.is_gone() {
            response::wake(self, false);
        }
    }

    pub fn time_out(&self) {
        if self.clock.take() {
            response::wake(self, true);
        }
    }

    fn record(&self, sent: Sent) {
        let mut all = self.sent.borrow_mut();
        assert!(!all.contains(&Sent::Gone), "{sent:?} after the request has gone");
        assert!(!all.contains(&Sent::End), "{sent:?} after the end");
        match sent {
            Sent::Header => {
                assert!(!all.contains(&Sent::Header), "a second header");
                assert!(!self.state.is_header_held_by_driver(), "a header that is held");
            }
            Sent::Bytes(_) | Sent::End => assert!(all.contains(&Sent::Header), "{sent:?} before the header"),
            Sent::Gone => {}
        }
        all.push(sent);
    }

    fn record_gone(&self) {
        assert!(!self.is_gone());
        self.sent.borrow_mut().push(Sent::Gone);
    }

    /// The filters after these, of which Lua's is one, and the client.
    fn write(&self, mut bytes: Vec<usize>, mut last: bool) -> Result<(), Stop<i32>> {
        if self.refuses.get() {
            return Err(Stop::Filter(-1));
        }
        let is_other = bytes.first().is_some_and(|place| *place >= PAGE);
        for slot in self.slots.iter().filter(|slot| slot.by_lua && !is_other) {
            if self.state.is_cut() {
                break;
            }
            let piece = || Piece { bytes: bytes.clone(), last, copied: true, ..Piece::default() };
            let (verdict, passed) = response::offer(self, slot, piece);
            let is_paused = matches!(verdict, Verdict::Pause);
            response::end_by_driver(self, verdict);
            if is_paused {
                (bytes, last) = (passed.map_or_else(Vec::new, |passed| passed.bytes), false);
            } else if let Some(passed) = passed.filter(|passed| passed.changed) {
                bytes = passed.bytes;
            }
        }
        if self.refuses.get() {
            return Err(Stop::Filter(-1));
        }
        if !bytes.is_empty() && !self.header_only.get() {
            assert_eq!(self.ended.get() == Some(Ended::Answer), bytes[0] >= ANSWER, "{bytes:?}");
            self.record(Sent::Bytes(bytes));
        }
        if last {
            self.record(Sent::End);
        }
        Ok(())
    }

    /// Runs a callback, and does what its test says.
    fn run(&self, callback: Callback, slot: &Slot) -> (Verdict<Text>, bool) {
        assert!(self.ended.get().is_none(), "a callback after the end by {:?}", self.ended.get());
        assert!(!slot.is_gone.get() && !self.is_gone());
        let does = (self.script)(callback, slot.index);
        match does {
            Does::FailOpen => slot.is_gone.set(true),
            Does::SetNoBody => self.no_body.set(true),
            Does::Close => self.closed.set(true),
            Does::PauseAndResume => self.resume(slot.index),
            Does::Inject | Does::InjectAndPause => drop(self.inject(slot.index, false)),
            Does::InjectEnd | Does::InjectEndAndPause => drop(self.inject(slot.index, true)),
            _ => {}
        }
        let verdict = match does {
            Does::Continue | Does::Change | Does::FailOpen | Does::SetNoBody => Verdict::Continue,
            Does::Inject | Does::InjectEnd => Verdict::Continue,
            Does::Pause | Does::PauseAndResume | Does::InjectAndPause | Does::InjectEndAndPause => Verdict::Pause,
            // In other callbacks, and by Lua, it is another Pause.
            Does::PauseByWatermark if callback == Callback::OnResponseBody && !slot.by_lua => Verdict::PauseByWatermark,
            Does::PauseByWatermark => Verdict::Pause,
            Does::Answer => Verdict::Answer(Text(None)),
            Does::Fail => Verdict::Fail,
            Does::Close => Verdict::Close,
        };
        (verdict, does == Does::Change)
    }

    fn end(&self, ended: Ended) {
        assert!(self.ended.get().is_none_or(|before| before == Ended::Cut || ended == Ended::Cut));
        self.ended.set(Some(ended));
    }
}
