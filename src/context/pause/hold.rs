//! Who holds a request in its phase, and what the event of the request then does.

use std::cell::Cell;

/// Whether a plugin holds the request in its phase.
#[derive(Default)]
pub struct Hold(Cell<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No plugin holds it: the phases run, or nginx does something else with the request.
    #[default]
    Free,
    /// The plugin of this slot holds it.
    Held(usize),
    /// The plugin resumed it. The event continues the request.
    Released,
}

/// What the event finds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Whether the pause timeout has passed.
    pub timed_out: bool,
    /// Whether the response has begun.
    pub has_response: bool,
    /// Whether a plugin closed the stream.
    pub is_closed: bool,
    /// Whether a plugin left an answer.
    pub has_answer: bool,
}

/// What the event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing.
    Nothing,
    /// Continue the response.
    Response,
    /// Continue the request's phases.
    Phases,
    /// End the request: it was held too long.
    TimeOut,
    /// Cut the client off.
    CutOff,
}

impl Hold {
    /// The plugin of a slot holds the request.
    pub fn hold(&self, slot: usize) {
        self.0.set(State::Held(slot));
    }

    /// No plugin holds the request.
    pub fn free(&self) {
        self.0.set(State::Free);
    }

    /// Returns the slot whose plugin holds the request.
    pub fn holder(&self) -> Option<usize> {
        match self.0.get() {
            State::Held(slot) => Some(slot),
            State::Free | State::Released => None,
        }
    }

    /// The plugin of a slot resumes the request. Answers false if it does not hold the request.
    pub fn resume(&self, slot: usize) -> bool {
        let holds = self.holder() == Some(slot);
        if holds {
            self.0.set(State::Released);
        }
        holds
    }

    /// Decides what the event does.
    pub fn next(&self, found: Found) -> Next {
        match self.0.get() {
            State::Free if found.has_response => Next::Response,
            // nginx is not in a phase of this module. An answer waits until the request comes to
            // such a phase, or to the response.
            State::Free if found.is_closed => Next::CutOff,
            State::Free => Next::Nothing,
            State::Held(_) if found.timed_out => Next::TimeOut,
            State::Held(_) if !found.has_answer && !found.is_closed => Next::Nothing,
            State::Held(_) | State::Released => Next::Phases,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Found = Found { timed_out: false, has_response: false, is_closed: false, has_answer: false };

    fn held() -> Hold {
        let hold = Hold::default();
        hold.hold(1);
        hold
    }

    #[test]
    fn who_holds_the_request_resumes_it() {
        let hold = held();
        assert!(!hold.resume(0), "it does not hold the request");
        assert_eq!((hold.holder(), hold.next(NOTHING)), (Some(1), Next::Nothing));
        assert!(hold.resume(1) && !hold.resume(1));
        assert_eq!((hold.holder(), hold.next(NOTHING)), (None, Next::Phases));
        assert_eq!(hold.next(Found { timed_out: true, ..NOTHING }), Next::Phases, "it was in time");
    }

    #[test]
    fn what_ends_a_held_request_continues_its_phases() {
        assert_eq!(held().next(Found { has_answer: true, ..NOTHING }), Next::Phases);
        assert_eq!(held().next(Found { is_closed: true, ..NOTHING }), Next::Phases);
        assert_eq!(held().next(Found { timed_out: true, has_answer: true, ..NOTHING }), Next::TimeOut);
    }

    #[test]
    fn a_free_request_has_its_response_or_is_left_alone() {
        let hold = held();
        hold.free();
        assert_eq!((hold.holder(), hold.resume(1)), (None, false));
        assert_eq!(hold.next(Found { has_answer: true, timed_out: true, ..NOTHING }), Next::Nothing);
        assert_eq!(hold.next(Found { is_closed: true, ..NOTHING }), Next::CutOff);
        assert_eq!(hold.next(Found { is_closed: true, has_response: true, ..NOTHING }), Next::Response);
    }
}
