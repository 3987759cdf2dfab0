//! How long events of this module may take before nginx's loop serves others.
//!
//! What runs in one round of the loop may give rise to more of its kind without end: a plugin that
//! answers an item of its queue by another, a call that fails at once and is made again.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Tasks, or callbacks, of one turn.
const STEPS: u32 = 64;

/// Time of one turn. A callback that began in it may take longer, as its deadline allows.
const TIME: Duration = Duration::from_millis(10);

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
        self.steps.get() >= STEPS || self.begin.elapsed() >= TIME
    }
}
