//! What Lua keeps of a response's body for the plugins that paused on it.
//!
//! Lua's body filter cannot wait, but it can keep back the bytes that it got, even the end of the
//! body. A plugin's kept bytes are passed on with the next piece, after the plugin has seen both.
//! If the plugin resumes before there is a next piece, an empty piece is pushed through the
//! filters. Lua then calls every plugin again; the only new bytes are those that were kept.

use std::cell::RefCell;

use crate::host_memory::Held;
use crate::lazy_box::LazyBox;

/// What each slot's plugin keeps.
#[derive(Default)]
pub struct HeldByLua(LazyBox<RefCell<Vec<(usize, Piece)>>>);

/// The bytes that one plugin keeps, and how it stands to the body.
#[derive(Default)]
pub struct Piece {
    pub bytes: Vec<u8>,
    pub hold: Hold,
    /// Counts the bytes for the plugin.
    pub held: Option<Held>,
}

/// How a plugin stands to the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// The plugin has not seen the end, and keeps these bytes.
    #[default]
    Until,
    /// The plugin has not seen the end. It resumed, so these bytes are passed on before the next
    /// piece.
    LetGo,
    /// The plugin has seen the end, and keeps it with these bytes.
    End,
    /// The plugin has seen the end, and has resumed.
    Done,
}

impl HeldByLua {
    /// Takes what the plugin of a slot keeps.
    pub fn take(&self, slot: usize) -> Piece {
        let Some(kept) = self.0.get() else { return Piece::default() };
        let mut kept = kept.borrow_mut();
        let position = kept.iter().position(|(keeper, _)| *keeper == slot);
        position.map(|position| kept.swap_remove(position).1).unwrap_or_default()
    }

    /// Keeps a piece for the plugin of a slot, which must keep none yet.
    pub fn put(&self, slot: usize, piece: Piece) {
        self.0.make().borrow_mut().push((slot, piece));
    }

    /// Whether the plugin of a slot keeps something.
    pub fn is_kept_by(&self, slot: usize) -> bool {
        self.0.get().is_some_and(|kept| kept.borrow().iter().any(|(keeper, piece)| *keeper == slot && piece.keeps()))
    }

    /// Returns the slot whose plugin keeps the end of the body from the client, and so keeps the
    /// request alive.
    pub fn holder(&self) -> Option<usize> {
        let kept = self.0.get()?.borrow();
        kept.iter().find(|(_, piece)| piece.hold == Hold::End).map(|(slot, _)| *slot)
    }

    /// Resumes the plugin of a slot. Answers whether the end of the body is passed on, too; `None`
    /// if the plugin kept nothing.
    pub fn let_go(&self, slot: usize) -> Option<bool> {
        let mut kept = self.0.get()?.borrow_mut();
        let (_, piece) = kept.iter_mut().find(|(keeper, piece)| *keeper == slot && piece.keeps())?;
        let at_end = piece.hold == Hold::End;
        piece.hold = if at_end { Hold::Done } else { Hold::LetGo };
        Some(at_end)
    }
}

impl Piece {
    fn keeps(&self) -> bool {
        matches!(self.hold, Hold::Until | Hold::End)
    }
}
