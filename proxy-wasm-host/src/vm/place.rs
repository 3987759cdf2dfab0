//! A place for one instance, which one call at a time enters.

use std::cell::{Cell, RefCell};

use super::instance_slot::{Ending, InstanceSlot};
use crate::failure::Failure;
use crate::host::Host;

/// A place for one instance.
pub(super) struct Place<H: Host> {
    pub slot: RefCell<InstanceSlot<H>>,
    /// Contexts that their owners dropped while the guest was running.
    endings: RefCell<Vec<Ending>>,
    any_endings: Cell<bool>,
}

impl<H: Host> Place<H> {
    pub fn new(slot: InstanceSlot<H>) -> Self {
        Self { slot: RefCell::new(slot), endings: RefCell::default(), any_endings: Cell::new(false) }
    }

    /// Runs a function that may call the guest, and then the work that became due meanwhile.
    #[inline]
    pub fn enter<R>(&self, run: impl FnOnce(&mut InstanceSlot<H>) -> Result<R, Failure>) -> Result<R, Failure> {
        let mut slot = self.slot.try_borrow_mut().map_err(|_| Failure::Reentrant)?;
        let result = run(&mut slot);
        self.settle(&mut slot);
        result
    }

    /// Ends a context that its owner dropped: now, or when the guest has returned.
    #[inline(always)]
    pub fn end(&self, ending: Ending) {
        let Ok(mut slot) = self.slot.try_borrow_mut() else {
            self.endings.borrow_mut().push(ending);
            return self.any_endings.set(true);
        };
        slot.end(ending);
        self.settle(&mut slot);
    }

    /// Does the work that became due while the guest ran.
    #[inline]
    fn settle(&self, slot: &mut InstanceSlot<H>) {
        if self.any_endings.get() || slot.any_ended() {
            self.settle_all(slot);
        }
    }

    #[cold]
    fn settle_all(&self, slot: &mut InstanceSlot<H>) {
        loop {
            slot.delete_ended();
            // The list is not borrowed while the guest runs, because the guest may add to it.
            let ending = self.endings.borrow_mut().pop();
            match ending {
                Some(ending) => slot.end(ending),
                None if slot.any_ended() => {}
                None => break,
            }
        }
        self.any_endings.set(false);
    }
}
