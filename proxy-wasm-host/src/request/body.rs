//! How far a request's body has come on its way through the plugins, and what they hold of it.

use std::cell::{Cell, RefCell};
use std::io;

use super::upload::Upload;
use crate::response::{Ending, Piece, Slot, Verdict};

/// The status of the page for a plugin that holds more than it may, as in Envoy.
const TOO_LARGE: u32 = 413;

/// The status of the page for a piece that cannot be held.
const INTERNAL_ERROR: u32 = 500;

/// How far a request's body has come. Host functions look at it while a callback runs, so it is
/// changed through shared references.
pub struct Body<P> {
    held: RefCell<Vec<(usize, Kept<P>)>>,
    /// Slots whose plugins resumed. The event handles them.
    resumed: RefCell<Vec<usize>>,
    is_over: Cell<bool>,
}

/// A piece that a plugin holds.
struct Kept<P> {
    piece: P,
    /// Whether the plugin's next call sees only what is new, and no more is read than may be held.
    by_watermark: bool,
    /// Whether no more may be held.
    is_full: bool,
}

impl<P> Default for Body<P> {
    fn default() -> Self {
        Self { held: RefCell::default(), resumed: RefCell::default(), is_over: Cell::default() }
    }
}

impl<P: Piece> Body<P> {
    /// Whether the plugin of a slot holds part of the body.
    pub fn is_held_by(&self, slot: usize) -> bool {
        self.held.borrow().iter().any(|(holder, _)| *holder == slot)
    }

    /// The slot whose plugin holds the end of the body, or as much as it may: nothing comes any more
    /// by which the plugin would be called again.
    pub fn last_holder(&self) -> Option<usize> {
        let mut held = self.held.borrow_mut();
        held.iter_mut().find(|(_, kept)| kept.is_full || kept.piece.is_last()).map(|(slot, _)| *slot)
    }

    /// Whether a plugin holds the end of the body.
    pub fn end_is_held(&self) -> bool {
        self.held.borrow().iter().any(|(_, kept)| kept.piece.is_last())
    }

    /// Whether more may come to the plugins.
    pub fn has_room(&self) -> bool {
        !self.held.borrow().iter().any(|(_, kept)| kept.is_full)
    }

    /// Notes that the plugin of a slot has resumed the request. Answers false if it holds nothing of
    /// the body; otherwise [`resume`] is to be called from the server's loop.
    pub fn resume(&self, slot: usize) -> bool {
        let holds = self.is_held_by(slot);
        let mut resumed = self.resumed.borrow_mut();
        if holds && !resumed.contains(&slot) {
            resumed.push(slot);
        }
        holds
    }

    /// Whether [`resume`] has something to do.
    pub fn is_resumed(&self) -> bool {
        !self.resumed.borrow().is_empty()
    }

    /// Whether plugins have nothing to do with the body any more: its end has passed them, or it has
    /// been ended.
    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Ends the plugins' part in the body. What they hold is dropped.
    pub fn end(&self) {
        self.is_over.set(true);
        self.resumed.borrow_mut().clear();
        let held = self.held.take();
        drop(held);
    }

    /// Lends what the plugin of a slot holds, to a callback that is not one of the body's.
    pub fn with_held<R>(&self, slot: usize, run: impl FnOnce(&mut P) -> R) -> Option<R> {
        let mut held = self.held.borrow_mut();
        let (_, kept) = held.iter_mut().find(|(holder, _)| *holder == slot)?;
        Some(run(&mut kept.piece))
    }

    fn take(&self, slot: usize) -> Option<Kept<P>> {
        let mut held = self.held.borrow_mut();
        let position = held.iter().position(|(holder, _)| *holder == slot)?;
        Some(held.swap_remove(position).1)
    }

    fn put(&self, slot: usize, kept: Kept<P>) {
        self.held.borrow_mut().push((slot, kept));
    }
}

/// Takes a piece that the server has read through the plugins.
///
/// # Errors
/// If the body ends here.
pub fn take<U: Upload>(upload: &U, piece: U::Piece) -> Result<(), Ending<U::Answer>> {
    pass_on(upload, 0, piece)
}

/// Continues what plugins resumed, from the server's loop.
///
/// # Errors
/// As [`take`].
pub fn resume<U: Upload>(upload: &U) -> Result<(), Ending<U::Answer>> {
    let body = upload.body();
    let mut resumed = body.resumed.take();
    // The last slot comes first: bytes that an earlier slot releases are new to the slots after it.
    resumed.sort_unstable();
    for slot in resumed.into_iter().rev() {
        if let Some(kept) = body.take(slot) {
            pass_on(upload, slot + 1, kept.piece)?;
        }
    }
    Ok(())
}

/// Runs `proxy_on_request_body` from a slot on, then passes the piece on.
fn pass_on<U: Upload>(upload: &U, first: usize, mut piece: U::Piece) -> Result<(), Ending<U::Answer>> {
    let body = upload.body();
    for slot in upload.slots(first) {
        let kept = body.take(slot.index());
        // A plugin that failed meanwhile sees nothing any more; what it held goes before this piece.
        if !upload.sees(slot) {
            piece = join(upload, kept, piece)?;
            continue;
        }
        if piece.size() == 0 && !piece.is_last() {
            if let Some(kept) = kept {
                body.put(slot.index(), kept);
                return Ok(());
            }
            continue;
        }
        let verdict = match kept {
            Some(kept) if kept.by_watermark => {
                let verdict = upload.on_body(slot, &mut piece)?;
                piece = join(upload, Some(kept), piece)?;
                verdict
            }
            kept => {
                piece = join(upload, kept, piece)?;
                upload.on_body(slot, &mut piece)?
            }
        };
        match verdict {
            Verdict::Continue => {}
            Verdict::Pause => return hold(upload, slot, piece, false),
            Verdict::PauseByWatermark => return hold(upload, slot, piece, true),
            verdict => {
                piece.discard();
                // `None` is for verdicts that go on, or wait.
                return verdict.ending(false).map_or(Ok(()), Err);
            }
        }
    }
    if piece.is_last() {
        body.is_over.set(true);
    }
    upload.pass(piece)
}

/// Keeps a piece for the plugin that paused on it.
fn hold<U: Upload>(
    upload: &U,
    slot: &U::Slot,
    mut piece: U::Piece,
    by_watermark: bool,
) -> Result<(), Ending<U::Answer>> {
    let (size, limit) = (piece.size(), slot.body_buffer_size());
    let refusal = if size > limit && !by_watermark {
        let name = slot.name();
        upload.log(format_args!(
            "plugin \"{name}\" holds {size} bytes of a request, more than wasm_body_buffer_size ({limit})"
        ));
        Some(TOO_LARGE)
    } else if upload.count(slot, &mut piece, size) {
        None
    } else {
        Some(INTERNAL_ERROR)
    };
    if let Some(status) = refusal {
        piece.discard();
        return Err(Ending::Page(status));
    }
    piece.keep().map_err(|error| unreadable(upload, &error))?;
    upload.body().put(slot.index(), Kept { piece, by_watermark, is_full: by_watermark && size >= limit });
    Ok(())
}

/// Joins what a plugin held with what comes after it.
fn join<U: Upload>(upload: &U, before: Option<Kept<U::Piece>>, piece: U::Piece) -> Result<U::Piece, Ending<U::Answer>> {
    match before {
        Some(kept) => kept.piece.join(piece).map_err(|error| unreadable(upload, &error)),
        None => Ok(piece),
    }
}

fn unreadable<U: Upload>(upload: &U, error: &io::Error) -> Ending<U::Answer> {
    upload.log(format_args!("the request's body cannot be read: {error}"));
    Ending::Page(INTERNAL_ERROR)
}
