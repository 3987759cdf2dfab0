//! A body on a server of plain structs. Its bytes are the numbers of their places, so that each can be
//! followed; a plugin does what its test says.

use std::cell::{Cell, RefCell};
use std::fmt::Arguments;
use std::io;

use super::{Body, Upload, resume, take};
use crate::Callback;
use crate::response::{self, Answer, Ending, Verdict};

#[derive(Debug, Default)]
struct Piece {
    bytes: Vec<usize>,
    last: bool,
    changed: bool,
}

impl response::Piece for Piece {
    fn end() -> Self {
        Self { last: true, ..Self::default() }
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    fn is_last(&self) -> bool {
        self.last
    }

    fn is_changed(&self) -> bool {
        self.changed
    }

    fn set_changed(&mut self) {
        self.changed = true;
    }

    fn join(mut self, next: Self) -> io::Result<Self> {
        self.bytes.extend(next.bytes);
        Ok(Self { bytes: self.bytes, last: self.last | next.last, changed: self.changed | next.changed })
    }

    fn keep(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn discard(self) {}
}

#[derive(Debug, PartialEq, Eq)]
struct Text;

impl Answer for Text {
    fn page(&self) -> Option<u32> {
        None
    }
}

struct Slot {
    index: usize,
    is_gone: Cell<bool>,
}

impl response::Slot for Slot {
    fn index(&self) -> usize {
        self.index
    }

    fn name(&self) -> &str {
        "plugin"
    }

    fn is_driven_by_lua(&self) -> bool {
        false
    }

    fn has(&self, _: Callback) -> bool {
        true
    }

    fn may_change_body(&self) -> bool {
        true
    }

    fn body_buffer_size(&self) -> usize {
        4
    }

    fn calls_pending(&self) -> bool {
        false
    }
}

#[derive(Clone, Copy)]
enum Does {
    Continue,
    Pause,
    Watermark,
    Empty,
    Answer,
    Fail,
    FailOpen,
    Close,
}

/// What a callback was called with: the slot, the bytes, and whether the body ends.
type Call = (usize, Vec<usize>, bool);

struct Server {
    body: Body<Piece>,
    slots: Vec<Slot>,
    script: RefCell<Vec<Does>>,
    calls: RefCell<Vec<Call>>,
    passed: RefCell<Vec<(Vec<usize>, bool)>>,
    lines: RefCell<Vec<String>>,
    has_memory: Cell<bool>,
}

impl Server {
    /// A server whose plugins do this, one callback after the other, and then continue.
    fn new(plugins: usize, script: &[Does]) -> Self {
        Self {
            body: Body::default(),
            slots: (0..plugins).map(|index| Slot { index, is_gone: Cell::new(false) }).collect(),
            script: RefCell::new(script.iter().rev().copied().collect()),
            calls: RefCell::default(),
            passed: RefCell::default(),
            lines: RefCell::default(),
            has_memory: Cell::new(true),
        }
    }

    fn take(&self, bytes: impl IntoIterator<Item = usize>, last: bool) -> Result<(), Ending<Text>> {
        take(self, Piece { bytes: bytes.into_iter().collect(), last, changed: false })
    }

    fn resume(&self, slot: usize) -> bool {
        let holds = self.body.resume(slot);
        assert_eq!(holds, self.body.is_resumed());
        assert_eq!(resume(self), Ok(()));
        holds
    }

    fn passed(&self) -> Vec<(Vec<usize>, bool)> {
        self.passed.take()
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.take()
    }
}

impl Upload for Server {
    type Slot = Slot;
    type Piece = Piece;
    type Answer = Text;

    fn body(&self) -> &Body<Piece> {
        &self.body
    }

    fn slots(&self, first: usize) -> impl Iterator<Item = &Slot> {
        self.slots.iter().skip(first)
    }

    fn sees(&self, slot: &Slot) -> bool {
        !slot.is_gone.get()
    }

    fn on_body(&self, slot: &Slot, piece: &mut Piece) -> Result<Verdict<Text>, Ending<Text>> {
        self.calls.borrow_mut().push((slot.index, piece.bytes.clone(), piece.last));
        Ok(match self.script.borrow_mut().pop().unwrap_or(Does::Continue) {
            Does::Continue => Verdict::Continue,
            Does::Pause => Verdict::Pause,
            Does::Watermark => Verdict::PauseByWatermark,
            Does::Empty => {
                piece.bytes.clear();
                Verdict::Continue
            }
            Does::Answer => Verdict::Answer(Text),
            Does::Fail => Verdict::Fail,
            Does::FailOpen => {
                slot.is_gone.set(true);
                Verdict::Continue
            }
            Does::Close => Verdict::Close,
        })
    }

    fn count(&self, _: &Slot, _: &mut Piece, _: usize) -> bool {
        self.has_memory.get()
    }

    fn pass(&self, piece: Piece) -> Result<(), Ending<Text>> {
        self.passed.borrow_mut().push((piece.bytes, piece.last));
        Ok(())
    }

    fn log(&self, line: Arguments<'_>) {
        self.lines.borrow_mut().push(line.to_string());
    }
}

#[test]
fn each_piece_passes_all_plugins() {
    let server = Server::new(2, &[]);
    assert_eq!(server.take([0, 1], false), Ok(()));
    assert!(!server.body.is_over());
    assert_eq!(server.take([2], true), Ok(()));
    assert_eq!(
        server.calls(),
        [(0, vec![0, 1], false), (1, vec![0, 1], false), (0, vec![2], true), (1, vec![2], true)]
    );
    assert_eq!(server.passed(), [(vec![0, 1], false), (vec![2], true)]);
    assert!(server.body.is_over());
}

#[test]
fn the_next_call_sees_all_that_is_held() {
    let server = Server::new(1, &[Does::Pause, Does::Pause, Does::Continue]);
    assert!(server.take([0], false).is_ok() && server.body.is_held_by(0));
    assert_eq!(server.body.last_holder(), None, "the plugin may wait for more");
    assert!(server.take([1], false).is_ok() && server.take([2], true).is_ok());
    assert_eq!(server.calls(), [(0, vec![0], false), (0, vec![0, 1], false), (0, vec![0, 1, 2], true)]);
    assert_eq!(server.passed(), [(vec![0, 1, 2], true)]);
}

#[test]
fn who_holds_the_end_is_called_by_nothing_else() {
    let server = Server::new(1, &[Does::Pause]);
    assert!(server.take([0], true).is_ok() && server.body.end_is_held());
    assert_eq!((server.body.last_holder(), server.body.is_over()), (Some(0), false));
    assert!(!server.resume(1) && server.resume(0) && !server.resume(0));
    assert_eq!((server.passed(), server.body.is_over()), (vec![(vec![0], true)], true));
}

#[test]
fn what_a_plugin_releases_is_new_to_those_behind_it() {
    let server = Server::new(2, &[Does::Pause, Does::Continue, Does::Continue, Does::Pause]);
    assert!(server.take([0], false).is_ok() && server.resume(0));
    assert_eq!(server.calls(), [(0, vec![0], false), (1, vec![0], false)]);
    assert!(server.take([1], false).is_ok() && server.body.is_held_by(1));
    assert!(server.take([2], true).is_ok());
    assert_eq!(server.passed(), [(vec![0], false), (vec![1, 2], true)]);
}

#[test]
fn both_plugins_hold_and_the_last_is_resumed_first() {
    let server = Server::new(2, &[Does::Continue, Does::Pause, Does::Pause]);
    assert!(server.take([0], false).is_ok() && server.take([1], true).is_ok());
    assert!(server.body.resume(0) && server.body.resume(1));
    assert_eq!(resume(&server), Ok(()));
    assert_eq!(server.passed(), [(vec![0], false), (vec![1], true)]);
}

#[test]
fn by_watermark_the_next_call_sees_what_is_new_and_no_more_is_taken_than_may_wait() {
    let server = Server::new(1, &[Does::Watermark, Does::Watermark, Does::Watermark]);
    assert!(server.take([0, 1], false).is_ok() && server.body.has_room());
    assert_eq!(server.body.last_holder(), None);
    assert!(server.take([2, 3, 4], false).is_ok() && !server.body.has_room());
    assert_eq!(server.body.last_holder(), Some(0), "nothing more comes to it");
    assert_eq!(server.calls(), [(0, vec![0, 1], false), (0, vec![2, 3, 4], false)]);
    assert!(server.resume(0) && server.body.has_room());
    assert_eq!(server.passed(), [(vec![0, 1, 2, 3, 4], false)]);
}

#[test]
fn more_than_may_be_held_ends_the_request() {
    let server = Server::new(1, &[Does::Pause, Does::Pause]);
    assert!(server.take([0, 1, 2, 3], false).is_ok());
    assert_eq!(server.take([4], false), Err(Ending::Page(413)));
    assert!(server.lines.take()[0].contains("holds 5 bytes of a request, more than wasm_body_buffer_size (4)"));
    let server = Server::new(1, &[Does::Pause]);
    server.has_memory.set(false);
    assert_eq!(server.take([0], false), Err(Ending::Page(500)));
}

#[test]
fn a_plugin_ends_the_request() {
    for (does, ending) in
        [(Does::Answer, Ending::Answer(Text)), (Does::Fail, Ending::Page(503)), (Does::Close, Ending::Cut)]
    {
        let server = Server::new(2, &[Does::Continue, Does::Continue, does]);
        assert!(server.take([0], false).is_ok());
        assert_eq!(server.take([1], false), Err(ending));
        server.body.end();
        assert!(server.body.is_over());
        assert_eq!(server.passed(), [(vec![0], false)]);
    }
}

#[test]
fn what_a_plugin_held_that_failed_goes_before_the_rest() {
    let server = Server::new(1, &[Does::Pause, Does::FailOpen]);
    assert!(server.take([0], false).is_ok() && server.take([1], false).is_ok() && server.take([2], true).is_ok());
    assert_eq!(server.passed(), [(vec![0, 1], false), (vec![2], true)]);
    assert_eq!(server.calls().len(), 2);
}

#[test]
fn a_plugin_is_not_called_for_nothing() {
    let server = Server::new(2, &[Does::Empty]);
    assert!(server.take([0], false).is_ok() && server.take([], true).is_ok());
    assert_eq!(server.calls(), [(0, vec![0], false), (0, vec![], true), (1, vec![], true)]);
    let server = Server::new(2, &[Does::Pause]);
    assert!(server.take([0], false).is_ok() && server.take([], false).is_ok());
    assert_eq!((server.calls().len(), server.passed().len()), (1, 0), "it still holds");
}

#[test]
fn what_is_held_can_be_lent() {
    let server = Server::new(1, &[Does::Pause]);
    assert!(server.take([0, 1], false).is_ok());
    assert_eq!(server.body.with_held(0, |piece| piece.bytes.pop()), Some(Some(1)));
    assert_eq!(server.body.with_held(1, |_| ()), None);
    assert!(server.resume(0));
    assert_eq!(server.passed(), [(vec![0], false)]);
}
