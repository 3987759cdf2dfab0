//! How often something may be said that each request can bring about.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// From one line to the next.
const AGAIN: Duration = Duration::from_secs(1);

/// When it was said last.
#[derive(Debug, Default)]
pub struct Told(Cell<Option<Instant>>);

impl Told {
    /// Whether to say it now.
    pub fn again(&self) -> bool {
        let now = Instant::now();
        let due = self.0.get().is_none_or(|last| now - last >= AGAIN);
        if due {
            self.0.set(Some(now));
        }
        due
    }
}
