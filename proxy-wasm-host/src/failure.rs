//! Why a callback did not return, what is logged about it, and when its plugin is tried again.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use wasmtime::{Trap, WasmBacktrace};

use super::callbacks::Callback;
use super::joined;
use crate::error::{one_line, single_spaced};
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
    /// The plugin failed several times in a row, and is not tried for this long.
    Unavailable {
        /// Milliseconds until the next attempt.
        retry_in_ms: u32,
    },
    /// The plugin was called from within one of its own calls.
    Reentrant,
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
            Self::BadAction(_) | Self::Reentrant => false,
        }
    }

    /// Reads the failure from wasmtime's error for a call that did not return.
    pub(crate) fn of(error: &wasmtime::Error, plugin: &str) -> Self {
        if let Some(ProcExit(code)) = error.downcast_ref() {
            return Self::Exit(*code);
        }
        if let Some(Trap::Interrupt) = error.downcast_ref() {
            return Self::Timeout;
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
                write!(f, "it failed again and again, next attempt in {retry_in:.1?}")
            }
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

/// An instance that ran this long without failing was healthy: the next one may start at once.
const HEALTHY: Duration = Duration::from_secs(10);

/// The longest wait between attempts.
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// When the next instance may start: at once after a healthy one, then after 1 s, then after twice
/// as long each time.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// Failures in a row.
    failures: u32,
    started: Option<Instant>,
    not_before: Option<Instant>,
}

impl Backoff {
    /// Must be called before an instance is made.
    pub fn start(&mut self, now: Instant) -> Result<(), Failure> {
        match self.not_before {
            Some(time) if time > now => {
                // Rounded up, so that a caller who waits this long does not come too early.
                let retry_in_ms = (time - now).as_nanos().div_ceil(1_000_000);
                Err(Failure::Unavailable { retry_in_ms: u32::try_from(retry_in_ms).unwrap_or(u32::MAX) })
            }
            _ => {
                self.started = Some(now);
                Ok(())
            }
        }
    }

    /// How long it takes until an instance may start.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.not_before.and_then(|time| time.checked_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// Records that the instance failed. Returns how long no other will be started; `None` if the
    /// next may start at once.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        if self.started.is_some_and(|started| now - started >= HEALTHY) {
            self.failures = 0;
        }
        let wait = (self.failures > 0).then(|| delay(self.failures));
        self.not_before = wait.map(|wait| now + wait);
        self.failures += 1;
        wait
    }
}

/// The wait after this many failures in a row, not counting the first.
fn delay(failures: u32) -> Duration {
    Duration::from_secs(1 << (failures - 1).min(6)).min(LONGEST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_restarts_at_once_and_the_next_wait_longer_and_longer() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = match backoff.start(now) {
                Ok(()) => Duration::ZERO,
                Err(Failure::Unavailable { retry_in_ms }) => Duration::from_millis(retry_in_ms.into()),
                Err(other) => panic!("{other}"),
            };
            now += wait;
            assert_eq!(backoff.start(now), Ok(()));
            backoff.failed(now);
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60]);
    }

    #[test]
    fn what_comes_with_each_request_is_told_once_a_second() {
        let (told, now) = (Told::default(), Instant::now());
        let ages = [0, 1, 999, 1000, 1500, 2000];
        let again: Vec<_> = ages.iter().map(|&age| told.again(now + Duration::from_millis(age))).collect();
        assert_eq!(again, [true, false, false, true, false, true]);
    }

    #[test]
    fn an_instance_that_lived_long_starts_the_count_anew() {
        let mut backoff = Backoff::default();
        let now = Instant::now();
        for _ in 0..3 {
            backoff.failed(now);
        }
        let later = now + Duration::from_secs(60);
        assert_eq!(backoff.start(later), Ok(()));
        backoff.failed(later + HEALTHY);
        assert_eq!(backoff.start(later + HEALTHY), Ok(()));
    }
}
