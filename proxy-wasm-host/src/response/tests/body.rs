//! A body of plain structs. Its bytes are the numbers of their places, so that each can be followed.

use std::cell::RefCell;
use std::io;

use super::super::{self as response, Answer, Chunk as _};

thread_local! {
    /// The places that the source has got back.
    static CONSUMED: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Bytes of the body where the source has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Chunk {
    pub start: usize,
    pub size: usize,
    pub last: bool,
    pub flush: bool,
}

impl response::Chunk for Chunk {
    const EMPTY: Self = Self { start: 0, size: 0, last: false, flush: false };

    fn is_empty(self) -> bool {
        self.size == 0 && !self.last && !self.flush
    }

    fn size(self) -> usize {
        self.size
    }

    fn is_last(self) -> bool {
        self.last
    }

    fn ends_output(self) -> bool {
        self.last
    }

    fn flushes(self) -> bool {
        self.flush
    }

    fn is_flush(self) -> bool {
        self.size == 0 && self.flush && !self.last
    }

    fn consume(self) {
        CONSUMED.with_borrow_mut(|consumed| consumed.extend(self.start..self.start + self.size));
    }
}

#[derive(Debug, Default)]
pub struct Piece {
    pub bytes: Vec<usize>,
    pub last: bool,
    pub changed: bool,
    /// What the source gets back when the piece is copied, dropped or sent.
    pub source: Chunk,
    pub copied: bool,
}

impl From<Chunk> for Piece {
    fn from(chunk: Chunk) -> Self {
        let bytes = (chunk.start..chunk.start + chunk.size).collect();
        Self { bytes, last: chunk.last, changed: false, source: chunk, copied: false }
    }
}

impl response::Piece for Piece {
    fn end() -> Self {
        Self { last: true, copied: true, ..Self::default() }
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
        assert_eq!(self.source.size, 0, "what comes first has been copied");
        self.bytes.extend(next.bytes);
        Ok(Self {
            bytes: self.bytes,
            last: self.last | next.last,
            changed: self.changed | next.changed,
            source: next.source,
            copied: true,
        })
    }

    fn keep(&mut self) -> io::Result<()> {
        std::mem::take(&mut self.source).consume();
        self.copied = true;
        Ok(())
    }

    fn discard(self) {
        self.source.consume();
    }
}

/// An answer; of a page, the status.
#[derive(Debug, PartialEq, Eq)]
pub struct Text(pub Option<u32>);

impl Answer for Text {
    fn page(&self) -> Option<u32> {
        self.0
    }
}

/// The places that the source has got back.
pub fn consumed() -> Vec<usize> {
    CONSUMED.with_borrow(Clone::clone)
}

/// Begins a new body.
pub fn forget_consumed() {
    CONSUMED.with_borrow_mut(Vec::clear);
}
