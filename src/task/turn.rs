//! How long events of this module may take before nginx's loop serves others.
//!
//! What runs in one round of the loop may give rise to more of its kind without end: a plugin that
//! answers an item of its queue by another, a call that fails at once and is made again.

use std::cell::Cell;
use std::time::Instant;

use crate::limits::worker::{TURN_STEPS, TURN_TIME};

/// One turn in nginx's loop: at most so many steps, and no other after so much time.
pub struct Turn {
    begin: Instant,
    steps: Cell<u32>,
}

impl Turn {
    /// Begins now.
    pub fn begin() -> Self {
        Self { begin: Instant::now(), steps: Cell::new(0) }
    }

    /// To be asked after each step: whether nginx's loop comes before the next one.
    pub fn is_over(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() >= TURN_STEPS || self.begin.elapsed() >= TURN_TIME
    }
}
