//! How often a line may be logged that each request can bring about.

use std::cell::Cell;
use std::time::Instant;

use super::limits::worker::LOG_INTERVAL;

/// When the line was logged last.
#[derive(Debug, Default)]
pub struct LogLimit(Cell<Option<Instant>>);

impl LogLimit {
    /// Whether to log it now; if so, it counts as logged.
    pub fn is_due(&self) -> bool {
        let now = Instant::now();
        let due = self.0.get().is_none_or(|last| now - last >= LOG_INTERVAL);
        if due {
            self.0.set(Some(now));
        }
        due
    }
}
