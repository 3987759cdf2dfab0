//! The bytes from upstream that no plugin has seen yet, and how they are cut into pieces.
//!
//! They stay in nginx's buffers, which nginx does not fill again until they are consumed. With
//! `sendfile` a file is one buffer, however large. Plugins get parts of it, each a buffer that
//! refers to the same file: an unchanged part still goes by `sendfile`, and only a part that a
//! plugin reads is read.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use ngx_bindings::Pool;
use ngx_bindings::chain::{Chain, Part};
use ngx_bindings::pool::AllocError;

use crate::lazy_box::LazyBox;
use crate::limits::response::PIECE;

/// nginx's buffers in the order in which they came, in chain links of this module.
#[derive(Default)]
pub struct Waiting {
    chain: Cell<Chain>,
    /// How many bytes of the first buffer were handed out.
    cut: Cell<usize>,
    parts: LazyBox<RefCell<Parts>>,
}

#[derive(Default)]
struct Parts {
    /// Parts that nginx's filters have.
    out: VecDeque<Part>,
    /// Parts that were sent, for reuse.
    spare: Vec<Part>,
}

impl Waiting {
    /// Whether no bytes wait.
    pub fn is_empty(&self) -> bool {
        self.chain.get().is_empty()
    }

    /// The whole chain.
    pub fn chain(&self) -> Chain {
        self.chain.get()
    }

    /// Whether the next piece is part of a larger buffer.
    pub fn is_cutting(&self) -> bool {
        self.cut.get() > 0 || self.chain.get().first_size() > PIECE
    }

    /// The size of the next piece in bytes.
    pub fn next_size(&self) -> usize {
        if self.is_cutting() {
            (self.chain.get().first_size() - self.cut.get()).min(PIECE)
        } else {
            self.chain.get().size().min(PIECE)
        }
    }

    /// Appends the buffers of a chain.
    pub fn push(&self, pool: Pool, chain: Chain) -> Result<(), AllocError> {
        let mut waiting = self.chain.get();
        waiting.append(pool, chain)?;
        self.chain.set(waiting);
        Ok(())
    }

    /// Takes the next piece. Its links go back to the pool when it is passed on.
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

    /// Gives nginx the buffers back whose parts are all sent.
    pub fn give_back(&self) {
        let Some(parts) = self.parts.get() else { return };
        let parts = &mut *parts.borrow_mut();
        while let Some(mut part) = parts.out.pop_front_if(|part| part.is_sent()) {
            part.give_back();
            parts.spare.push(part);
        }
    }

    /// Drops all waiting bytes.
    pub fn clear(&self, pool: Pool) {
        let mut chain = self.chain.replace(Chain::EMPTY);
        self.cut.set(0);
        chain.consume();
        chain.free_links(pool);
    }
}
