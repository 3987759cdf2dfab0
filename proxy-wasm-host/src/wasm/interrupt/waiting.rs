//! Time that a host function waits, for a disk: no clock of the processor shows it.

use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

use super::{NOW, advance};

/// A host function that may wait.
pub struct Waiting {
    begun: Instant,
    switches: i64,
}

impl Waiting {
    /// Begins to look.
    pub fn begin() -> Self {
        Self { begun: Instant::now(), switches: switches() }
    }

    /// Lets the clock of deadlines advance by the time that was waited. Where epochs are the clock,
    /// that clock has not stopped meanwhile, and this one has not begun.
    pub fn end(self) {
        let milliseconds = self.milliseconds();
        if milliseconds > 0 && NOW.load(Ordering::Relaxed) > 0 {
            advance(milliseconds);
        }
    }

    /// The time that has passed, if the thread has waited meanwhile. If it only got no processor, the
    /// guest does not pay for it.
    fn milliseconds(&self) -> u64 {
        let passed = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX >> 1);
        if passed > 0 && switches() != self.switches { passed } else { 0 }
    }
}

/// How often the thread has given up the processor by itself.
fn switches() -> i64 {
    getrusage(UsageWho::RUSAGE_THREAD).map_or(0, |usage| usage.voluntary_context_switches())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_sleeps_waits() {
        let waiting = Waiting::begin();
        std::thread::sleep(Duration::from_millis(5));
        assert!(waiting.milliseconds() >= 5);
    }

    #[test]
    fn a_thread_that_works_does_not() {
        let waiting = Waiting::begin();
        while waiting.begun.elapsed() < Duration::from_millis(5) {}
        assert_eq!(waiting.milliseconds(), 0);
    }
}
