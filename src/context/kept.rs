//! What Lua keeps of a response's body for the plugins that paused on it.
//!
//! Lua's body filter cannot wait, but it can hold back what it was passed, the end too. What a plugin keeps goes on with the next
//! piece, after the plugin has seen both. When the plugin lets go of it before there is one, an empty piece is pushed through the
//! filters: Lua then calls for every plugin again, with nothing new but what was let go of.

use std::cell::RefCell;

use crate::host_memory::Held;
use crate::lazy_box::LazyBox;

/// By slot: what it keeps.
#[derive(Default)]
pub struct HeldByLua(LazyBox<RefCell<Vec<(usize, Piece)>>>);

/// What a plugin keeps, or where it stands when it keeps nothing.
#[derive(Default)]
pub struct Piece {
    pub bytes: Vec<u8>,
    pub hold: Hold,
    /// Counts the bytes.
    pub held: Option<Held>,
}

/// How a plugin stands to the body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hold {
    /// It is to see what comes next.
    #[default]
    Until,
    /// As above, but what it keeps goes before that.
    LetGo,
    /// It has seen all of the body, and keeps the end.
    End,
    /// It has seen all, and let go.
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

    /// Keeps a piece for the plugin of a slot, which has none.
    pub fn put(&self, slot: usize, piece: Piece) {
        self.0.make().borrow_mut().push((slot, piece));
    }

    /// Whether the plugin of a slot keeps something.
    pub fn is_kept_by(&self, slot: usize) -> bool {
        self.0.get().is_some_and(|kept| kept.borrow().iter().any(|(keeper, piece)| *keeper == slot && piece.keeps()))
    }

    /// The slot whose plugin keeps the end of the body from the client, and with it the request alive.
    pub fn holder(&self) -> Option<usize> {
        let kept = self.0.get()?.borrow();
        kept.iter().find(|(_, piece)| piece.hold == Hold::End).map(|(slot, _)| *slot)
    }

    /// The plugin of a slot lets go. Answers whether the end of the body is to go on, too; `None` if it kept nothing.
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
