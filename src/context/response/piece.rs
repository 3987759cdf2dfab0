//! A response's body as [`proxy_wasm_host::response`] takes it: nginx's buffers, and pieces of the
//! body with nginx's marks.

use std::io;

use ngx_bindings::chain::{Chain, Marks};
use proxy_wasm_host::response;

use crate::context::Body;

/// Buffers of nginx, before any plugin has seen them.
#[derive(Clone, Copy)]
pub struct Chunk(pub Chain);

impl response::Chunk for Chunk {
    const EMPTY: Self = Self(Chain::EMPTY);

    #[inline]
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn size(self) -> usize {
        self.0.size()
    }

    #[inline]
    fn is_last(self) -> bool {
        self.0.marks().last
    }

    fn ends_output(self) -> bool {
        self.0.marks().last_in_chain
    }

    fn flushes(self) -> bool {
        self.0.marks().flush
    }

    fn is_flush(self) -> bool {
        self.0.is_flush()
    }

    fn consume(self) {
        self.0.consume();
    }
}

/// A piece of the body, with nginx's marks: the end, or a flush.
pub struct Piece {
    pub body: Body,
    pub marks: Marks,
}

impl Piece {
    /// A piece that a plugin has made.
    pub fn injected(bytes: &[u8], last: bool) -> Self {
        Self { body: Body::copied(bytes.to_vec(), true), marks: Marks { last, last_in_chain: last, flush: !last } }
    }

    /// A piece that Lua has. It is copied.
    pub fn of_lua(bytes: &[u8], last: bool) -> Self {
        Self { body: Body::copied(bytes.to_vec(), false), marks: Marks { last, ..Marks::default() } }
    }
}

impl From<Chunk> for Piece {
    #[inline]
    fn from(Chunk(chain): Chunk) -> Self {
        Self { body: Body::of(chain), marks: chain.marks() }
    }
}

impl Default for Piece {
    fn default() -> Self {
        Chunk(Chain::EMPTY).into()
    }
}

impl response::Piece for Piece {
    fn end() -> Self {
        Self::of_lua(b"", true)
    }

    #[inline]
    fn size(&self) -> usize {
        self.body.size()
    }

    #[inline]
    fn is_last(&self) -> bool {
        self.marks.last
    }

    #[inline]
    fn is_changed(&self) -> bool {
        self.body.is_changed()
    }

    fn set_changed(&mut self) {
        self.body.set_changed();
    }

    fn join(self, next: Self) -> io::Result<Self> {
        let marks = Marks {
            last: self.marks.last | next.marks.last,
            last_in_chain: self.marks.last_in_chain | next.marks.last_in_chain,
            flush: self.marks.flush | next.marks.flush,
        };
        Ok(Self { body: next.body.after(self.body)?, marks })
    }

    fn keep(&mut self) -> io::Result<()> {
        self.body.keep()
    }

    fn discard(self) {
        self.body.drop_source();
    }
}
