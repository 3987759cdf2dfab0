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
pub struct HeldByLua(LazyBox<RefCell<Vec<(usize, HeldPiece)>>>);

/// The bytes that one plugin keeps, and how it stands to the body.
#[derive(Default)]
pub struct HeldPiece {
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
    pub fn take(&self, slot: usize) -> HeldPiece {
        let Some(kept) = self.0.get() else { return HeldPiece::default() };
        let mut kept = kept.borrow_mut();
        let position = kept.iter().position(|(keeper, _)| *keeper == slot);
        position.map(|position| kept.swap_remove(position).1).unwrap_or_default()
    }

    /// Keeps a piece for the plugin of a slot, which must keep none yet.
    pub fn put(&self, slot: usize, piece: HeldPiece) {
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

impl HeldPiece {
    fn keeps(&self) -> bool {
        matches!(self.hold, Hold::Until | Hold::End)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holding(slot: usize, hold: Hold) -> HeldByLua {
        let held = HeldByLua::default();
        held.put(slot, HeldPiece { bytes: b"piece".to_vec(), hold, held: None });
        held
    }

    #[test]
    fn a_plugin_without_a_piece_is_to_see_what_comes_next() {
        let held = HeldByLua::default();
        assert!(!held.is_kept_by(0));
        assert_eq!((held.take(0).hold, held.holder(), held.let_go(0)), (Hold::Until, None, None));
    }

    #[test]
    fn what_a_plugin_resumes_goes_before_the_next_piece() {
        let held = holding(1, Hold::Until);
        assert!(held.is_kept_by(1) && !held.is_kept_by(0));
        assert_eq!(held.holder(), None, "the end is not here");
        assert_eq!(held.let_go(1), Some(false));
        assert_eq!(held.let_go(1), None, "once");
        let piece = held.take(1);
        assert_eq!((&piece.bytes[..], piece.hold), (&b"piece"[..], Hold::LetGo));
    }

    #[test]
    fn the_end_of_the_body_goes_with_what_is_resumed() {
        let held = holding(2, Hold::End);
        assert_eq!(held.holder(), Some(2));
        assert_eq!(held.let_go(2), Some(true));
        assert!(!held.is_kept_by(2));
        assert_eq!((held.holder(), held.take(2).hold), (None, Hold::Done));
    }
}
