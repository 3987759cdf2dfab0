//! What upstream sent and no plugin has seen yet, and how it is cut.
//!
//! It stays in nginx's buffers, which nginx does not fill again until they are taken. With
//! `sendfile` a file is one buffer, however large: plugins are handed parts of it, each a buffer
//! that refers to the same file, so what no plugin changes still goes by `sendfile`, and what a
//! plugin reads is read by that part.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ngx_bindings::Pool;
use ngx_bindings::chain::{Chain, Part};
use ngx_bindings::pool::AllocError;

use crate::lazy_box::LazyBox;
use crate::limits::response::PIECE;

/// Buffers of nginx's in the order they came, by links of ours.
#[derive(Default)]
pub struct Waiting {
    chain: Cell<Chain>,
    /// Bytes of the first buffer that were handed out.
    cut: Cell<usize>,
    parts: LazyBox<RefCell<Parts>>,
}

#[derive(Default)]
struct Parts {
    /// In the hands of nginx's filters.
    out: VecDeque<Part>,
    /// Sent, to be filled again.
    spare: Vec<Part>,
}

impl Waiting {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.chain.get().is_empty()
    }

    /// All of it.
    pub fn chain(&self) -> Chain {
        self.chain.get()
    }

    /// Whether the next piece is cut out of a buffer.
    pub fn is_cutting(&self) -> bool {
        self.cut.get() > 0 || self.chain.get().first_size() > PIECE
    }

    /// Bytes of the next piece.
    pub fn next_size(&self) -> usize {
        if self.is_cutting() {
            (self.chain.get().first_size() - self.cut.get()).min(PIECE)
        } else {
            self.chain.get().size().min(PIECE)
        }
    }

    /// Adds what came.
    pub fn push(&self, pool: Pool, chain: Chain) -> Result<(), AllocError> {
        let mut waiting = self.chain.get();
        waiting.append(pool, chain)?;
        self.chain.set(waiting);
        Ok(())
    }

    /// Takes the next piece; its links go back to the pool when it is passed on.
    pub fn take(&self, pool: Pool) -> Result<Chain, AllocError> {
        let mut chain = self.chain.get();
        if !self.is_cutting() {
            let piece = chain.split_front(PIECE);
            self.chain.set(chain);
            return Ok(piece);
        }
        let mut parts = self.parts.make().borrow_mut();
        let mut part = parts.spare.pop().map_or_else(|| Part::new(pool), Ok)?;
        let (start, end) = (self.cut.get(), self.cut.get() + self.next_size());
        let piece = part.fill(pool, chain, start..end)?;
        parts.out.push_back(part);
        let ends = end == chain.first_size();
        if ends {
            chain.split_front(0).free_links(pool);
            self.chain.set(chain);
        }
        self.cut.set(if ends { 0 } else { end });
        Ok(piece)
    }

    /// Gives nginx the buffers whose parts are all sent.
    pub fn give_back(&self) {
        let Some(parts) = self.parts.get() else { return };
        let parts = &mut *parts.borrow_mut();
        while let Some(mut part) = parts.out.pop_front_if(|part| part.is_sent()) {
            part.give_back();
            parts.spare.push(part);
        }
    }

    /// Lets go of all of it.
    pub fn clear(&self, pool: Pool) {
        let mut chain = self.chain.replace(Chain::EMPTY);
        self.cut.set(0);
        chain.consume();
        chain.free_links(pool);
    }
}
