//! Why a callback did not return, and what is logged about it.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{Trap, WasmBacktrace};

use super::callbacks::Callback;
use super::joined;
use crate::error::{one_line, single_spaced};
use crate::wasm::interrupt;
use crate::wasm::wasi::ProcExit;

/// Why a callback did not return a usable result. The operator's policy (`wasm_failure`) decides
/// what this means for the request. For the instance the rule is fixed: an instance whose call was
/// interrupted is never used again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The guest, or a host function that it called, trapped: the cause, and the guest's backtrace.
    Trap(Box<Cause>),
    /// The callback ran past its deadline.
    Timeout,
    /// The plugin called `proc_exit`.
    Exit(i32),
    /// No instance could be made.
    Start(Box<Cause>),
    /// The plugin refused its configuration, or the configuration of its VM.
    Refused(Callback),
    /// The callback returned a number that is not a `proxy_action_t`.
    BadAction(i32),
    /// The instance of this context failed in another call.
    Gone,
    /// The plugin failed, and is not tried for this long: its start failed, or starts have taken too
    /// much of the worker's time.
    Unavailable {
        /// Milliseconds until the next attempt.
        retry_in_ms: u32,
    },
    /// The plugin was called from within one of its own calls.
    Reentrant,
    /// The request was to have an instance for itself, and there are too many. An embedder that
    /// bounds their number says so.
    NoInstance,
}

/// The cause of a failure, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause(String);

impl<T: Into<String>> From<T> for Box<Cause> {
    fn from(words: T) -> Self {
        Self::new(Cause(words.into()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// Every callback returns this result through several modules, so it must stay small.
const _: () = assert!(size_of::<Result<i32, Failure>>() <= 16);

impl Failure {
    /// Returns whether an error line about this failure, or about its cause, has been written
    /// already: a failed plugin must not log a line for each request that it fails. For the other
    /// failures the caller writes the line.
    pub fn is_reported(&self) -> bool {
        match self {
            Self::Trap(_) | Self::Timeout | Self::Exit(_) | Self::Start(_) | Self::Refused(_) => true,
            Self::Gone | Self::Unavailable { .. } => true,
            Self::BadAction(_) | Self::Reentrant | Self::NoInstance => false,
        }
    }

    /// Reads the failure from wasmtime's error for a call that did not return.
    pub(crate) fn of(error: &wasmtime::Error, plugin: &str) -> Self {
        // Asked first: what is not asked about this failure would be told about a later one.
        let interrupted = interrupt::was_interrupted();
        if let Some(ProcExit(code)) = error.downcast_ref() {
            return Self::Exit(*code);
        }
        match error.downcast_ref() {
            Some(Trap::Interrupt) => return Self::Timeout,
            Some(Trap::UnreachableCodeReached) if interrupted => return Self::Timeout,
            _ => {}
        }
        // The backtrace is a context of the error, on top of its cause, and has one line per frame.
        // The outermost frame may be that of [`joined`].
        let mut cause = single_spaced(&error.root_cause().to_string());
        if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
            let shown = backtrace.frames().iter().filter(|frame| !joined::is_own(frame)).count();
            let frames: Vec<_> = backtrace.to_string().lines().skip(1).take(shown).map(single_spaced).collect();
            cause += ", backtrace: ";
            // Modules from Go and from WAT have no name; the plugin's name says more than
            // wasmtime's placeholder.
            cause += &frames.join(", ").replace("<unknown>!", &format!("{plugin}!"));
        }
        Self::Trap(cause.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(cause) => cause.fmt(f),
            Self::Timeout => f.write_str("it ran past its timeout"),
            Self::Exit(code) => write!(f, "it exited with code {code}"),
            Self::Start(cause) => write!(f, "no instance could be made: {cause}"),
            Self::Refused(callback) => write!(f, "{callback} refused the configuration"),
            Self::BadAction(value) => write!(f, "it returned {value}, which is not an action"),
            Self::Gone => f.write_str("its instance failed in another call"),
            Self::Unavailable { retry_in_ms } => {
                let retry_in = Duration::from_millis((*retry_in_ms).into());
                write!(f, "it is not tried for {retry_in:.1?}")
            }
            Self::NoInstance => f.write_str("no instance was free for the request, see wasm_instances"),
            Self::Reentrant => f.write_str("it was called from within one of its own calls"),
        }
    }
}

impl std::error::Error for Failure {}

impl Failure {
    /// Reads the failure from wasmtime's error for an instance that was not made.
    pub(crate) fn start(error: &wasmtime::Error, plugin: &str) -> Self {
        match Self::of(error, plugin) {
            // Without a guest on the stack the guest never ran: a limit stopped it, or the machine.
            Self::Trap(_) if error.downcast_ref::<WasmBacktrace>().is_none() => Self::Start(one_line(error).into()),
            failure => failure,
        }
    }
}

/// The call that ended an instance, and with it the other requests that lived there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Culprit {
    /// The callback that did not return.
    pub callback: Callback,
    /// The id of its context.
    pub context: u32,
}

impl fmt::Display for Culprit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of context {}", self.callback, self.context)
    }
}

/// The error line for a call that did not return.
pub(crate) struct CallFailed<'a> {
    pub plugin: &'a str,
    pub function: &'a str,
    pub context: u32,
    pub failure: &'a Failure,
}

impl fmt::Display for CallFailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plugin, function, context, failure } = self;
        write!(f, "failed to call function: {function} of plugin \"{plugin}\" in context {context}: {failure}")
    }
}

/// The shortest time between two lines about failures that leave the instance running, because
/// every request can bring such a failure.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// When a failure of this kind was last logged for a plugin.
#[derive(Debug, Default)]
pub(crate) struct Told(Cell<Option<Instant>>);

impl Told {
    /// Returns whether to log a failure that happens now.
    pub fn again(&self, now: Instant) -> bool {
        let due = self.0.get().is_none_or(|last| now - last >= TELL_AGAIN);
        if due {
            self.0.set(Some(now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_with_each_request_is_told_once_a_second() {
        let (told, now) = (Told::default(), Instant::now());
        let ages = [0, 1, 999, 1000, 1500, 2000];
        let again: Vec<_> = ages.iter().map(|&age| told.again(now + Duration::from_millis(age))).collect();
        assert_eq!(again, [true, false, false, true, false, true]);
    }
}
