//! Limits how often a log line is written, for lines that any request can cause.

use std::cell::Cell;
use std::time::Instant;

use super::limits::worker::LOG_INTERVAL;

/// The time when the line was last logged.
#[derive(Debug, Default)]
pub struct LogLimit(Cell<Option<Instant>>);

impl LogLimit {
    /// Whether to log the line now. If so, it counts as logged.
    pub fn is_due(&self) -> bool {
        let now = Instant::now();
        let due = self.0.get().is_none_or(|last| now - last >= LOG_INTERVAL);
        if due {
            self.0.set(Some(now));
        }
        due
    }
}
