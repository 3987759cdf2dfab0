//! Whether the context of a slot can be called.

use std::cell::Cell;

/// Whether a context can be called.
#[derive(Default)]
pub struct Readiness(Cell<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    Idle,
    /// A callback of it runs. The first one makes the context.
    #[default]
    Busy,
    /// The plugin failed, and the request continues without it; or the request is over.
    Gone,
}

impl Readiness {
    /// Whether the context can be called: it has not failed, and none of its callbacks runs.
    #[inline]
    pub fn is_idle(&self) -> bool {
        self.0.get() == State::Idle
    }

    /// A callback is about to run. Answers false if it cannot.
    #[inline]
    pub fn begin(&self) -> bool {
        let is_idle = self.is_idle();
        if is_idle {
            self.0.set(State::Busy);
        }
        is_idle
    }

    /// A callback has run. After a failure the context is not called any more.
    #[inline]
    pub fn end(&self, is_ok: bool) {
        self.0.set(if is_ok { State::Idle } else { State::Gone });
    }

    /// The context is to end. Answers false if a callback of it runs: it then ends with the request.
    #[inline]
    pub fn finish(&self) -> bool {
        let can_end = self.0.get() != State::Busy;
        if can_end {
            self.0.set(State::Gone);
        }
        can_end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Readiness {
        let readiness = Readiness::default();
        readiness.end(true);
        readiness
    }

    #[test]
    fn a_context_is_called_when_it_is_made_and_by_one_at_a_time() {
        let new = Readiness::default();
        assert!(!new.is_idle() && !new.begin(), "it is being made");
        let readiness = ready();
        assert!(readiness.is_idle() && readiness.begin() && !readiness.begin());
        readiness.end(true);
        assert!(readiness.begin());
    }

    #[test]
    fn a_context_that_failed_is_not_called_and_ends() {
        let readiness = ready();
        assert!(readiness.begin());
        readiness.end(false);
        assert!(!readiness.is_idle() && !readiness.begin());
        assert!(readiness.finish() && !readiness.is_idle());
    }

    #[test]
    fn a_context_ends_unless_a_callback_of_it_runs() {
        let readiness = ready();
        assert!(readiness.begin() && !readiness.finish());
        readiness.end(true);
        assert!(readiness.finish() && !readiness.begin());
    }
}
