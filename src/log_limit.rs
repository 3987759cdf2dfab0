//! Limits how often a log line is written, for lines that any request can cause.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::time::Instant;

use super::limits::worker::{LOG_INTERVAL, LOG_LINES};

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

/// The lines of one kind that were logged lately. Each is due once in a while, so that one which is
/// written again and again does not keep another from being read; and only so many are.
#[derive(Debug, Default)]
pub struct LineLimit(RefCell<Vec<(u64, Instant)>>);

impl LineLimit {
    /// Whether to log this line now. If so, it counts as logged.
    pub fn is_due(&self, line: fmt::Arguments<'_>) -> bool {
        self.is_due_at(line, Instant::now())
    }

    fn is_due_at(&self, line: fmt::Arguments<'_>, now: Instant) -> bool {
        let mut logged = self.0.borrow_mut();
        logged.retain(|&(_, then)| now - then < LOG_INTERVAL);
        let hash = hash(line);
        let due = logged.len() < LOG_LINES && logged.iter().all(|&(known, _)| known != hash);
        if due {
            logged.push((hash, now));
        }
        due
    }
}

fn hash(line: fmt::Arguments<'_>) -> u64 {
    struct Hashing(DefaultHasher);

    impl fmt::Write for Hashing {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }

    let mut hashing = Hashing(DefaultHasher::default());
    // Text is always taken.
    let _ = fmt::write(&mut hashing, line);
    hashing.0.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_due_once_in_an_interval() {
        let (limit, now) = (LineLimit::default(), Instant::now());
        let due = |line: &str, now| limit.is_due_at(format_args!("{line}"), now);
        assert!(due("a", now) && due("b", now));
        assert!(!due("a", now) && !due("b", now));
        assert!(due("a", now + LOG_INTERVAL));
    }

    #[test]
    fn only_so_many_lines_are_due() {
        let (limit, now) = (LineLimit::default(), Instant::now());
        let due = |now| (0..100).filter(|line| limit.is_due_at(format_args!("{line}"), now)).count();
        assert_eq!(due(now), LOG_LINES);
        assert_eq!(due(now + LOG_INTERVAL), LOG_LINES);
    }
}
