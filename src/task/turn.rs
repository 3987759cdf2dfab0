//! Limits how long this module's events run before nginx's loop serves others.
//!
//! Events of one turn can cause more of their kind without end: a plugin that answers each item of
//! its queue with another one, or a call that fails at once and is made again.

use std::cell::Cell;
use std::time::Instant;

use crate::limits::worker::{TURN_STEPS, TURN_TIME};

/// One turn of nginx's loop: limited in steps and in time.
pub struct Turn {
    begin: Instant,
    steps: Cell<u32>,
}

impl Turn {
    /// Begins a turn now.
    pub fn begin() -> Self {
        Self { begin: Instant::now(), steps: Cell::new(0) }
    }

    /// Counts a step. Answers whether nginx's loop must run before the next step.
    pub fn is_over(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() >= TURN_STEPS || self.begin.elapsed() >= TURN_TIME
    }
}
