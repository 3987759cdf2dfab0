//! What the server does for a request's body. An [`Ending`] says why no more of it passes.

use std::fmt::Arguments;

use super::Body;
use crate::response::{Answer, Ending, Piece, Slot, Verdict};

/// The server's part of a request's body.
pub trait Upload {
    /// The context of one plugin for this request.
    type Slot: Slot;
    /// Bytes of the body.
    type Piece: Piece;
    /// What a plugin wants sent instead of a response.
    type Answer: Answer;

    /// How far the body has come.
    fn body(&self) -> &Body<Self::Piece>;
    /// The slots from an index on, in order.
    fn slots(&self, first: usize) -> impl Iterator<Item = &Self::Slot>;
    /// Whether a plugin is to see the pieces of the body, and can be called.
    fn sees(&self, slot: &Self::Slot) -> bool;
    /// Runs `proxy_on_request_body`, which may change the piece.
    ///
    /// # Errors
    /// If the piece is lost.
    fn on_body(
        &self,
        slot: &Self::Slot,
        piece: &mut Self::Piece,
    ) -> Result<Verdict<Self::Answer>, Ending<Self::Answer>>;
    /// Counts bytes of a piece that is about to be kept for a plugin. Answers false if they are more
    /// than may be kept.
    fn count(&self, slot: &Self::Slot, piece: &mut Self::Piece, bytes: usize) -> bool;
    /// Passes a piece on, which all plugins have seen.
    ///
    /// # Errors
    /// If the server fails.
    fn pass(&self, piece: Self::Piece) -> Result<(), Ending<Self::Answer>>;
    /// Writes an error to the request's log.
    fn log(&self, line: Arguments<'_>);
}
