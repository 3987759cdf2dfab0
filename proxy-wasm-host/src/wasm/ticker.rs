//! The clock for deadlines: advances the engine's epoch, or the clock of [`interrupt`].
//!
//! A tick is always one millisecond. A tick source advances several ticks at once, at most once in a
//! period: a tenth of the shortest timeout in use, or less. A deadline is set a period later than
//! its timeout. If the machine starves or stops a worker, its plugins do not pay for it: each
//! advance counts for one period, not for the time that passed.

mod thread;

use std::io;
use std::mem;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use wasmtime::EngineWeak;

use super::{Deadlines, interrupt};

/// The longest period, in milliseconds, of a clock of epochs.
const LONGEST_PERIOD: u64 = 1000;

/// The same of a clock whose signals interrupt guests, which then run little longer than they may.
/// The signals cost a worker that computes some ten-thousandths of its time.
const LONGEST_PERIOD_OF_SIGNALS: u64 = 5;

/// The ticks of a guest without a deadline: some hundred million years, and far from an overflow
/// when added to the present epoch.
const NEVER: u64 = u64::MAX >> 1;

/// The clock of one engine, as a tick source sees it.
#[derive(Clone)]
pub struct Clock {
    engine: EngineWeak,
    deadlines: Deadlines,
    /// The period in milliseconds.
    period: Arc<AtomicU64>,
}

impl Clock {
    /// The time from one advance to the next. It may become shorter.
    pub fn period(&self) -> Duration {
        Duration::from_millis(self.period.load(Ordering::Relaxed))
    }

    /// Advances the clock by that many periods; returns false if the engine is gone. A signal
    /// handler may call this, because only atomic numbers change.
    pub fn advance(&self, periods: u64) -> bool {
        let ticks = periods * self.period.load(Ordering::Relaxed);
        if self.deadlines == Deadlines::Signal {
            interrupt::advance(ticks);
            return true;
        }
        let Some(engine) = self.engine.upgrade() else { return false };
        for _ in 0..ticks {
            engine.increment_epoch();
        }
        true
    }
}

/// Calls [`Clock::advance`] once in each period, in the process where it was started. It ends when
/// it is dropped.
pub trait TickSource: Send {
    /// Tells the tick source that the period has become shorter.
    fn shorten_period(&self);
}

/// Starts a tick source.
pub type StartTickSource = fn(Clock) -> io::Result<Box<dyn TickSource>>;

/// An engine's clock, with the tick source that advances it in this process.
pub(super) struct Ticker {
    clock: Clock,
    running: Mutex<Option<Running>>,
    /// Whether a tick source was ever started, here or before a fork.
    was_started: AtomicBool,
}

struct Running {
    /// The process where the tick source runs: a fork copies this struct, but neither threads nor timers.
    process: u32,
    source: Box<dyn TickSource>,
}

impl Ticker {
    pub(super) fn new(engine: EngineWeak, deadlines: Deadlines) -> Self {
        let longest = match deadlines {
            Deadlines::Signal => LONGEST_PERIOD_OF_SIGNALS,
            Deadlines::Checks | Deadlines::Off => LONGEST_PERIOD,
        };
        Self {
            clock: Clock { engine, deadlines, period: Arc::new(AtomicU64::new(longest)) },
            running: Mutex::new(None),
            was_started: AtomicBool::new(false),
        }
    }

    /// Converts a timeout to ticks, and shortens the period if the timeout needs it.
    pub(super) fn ticks(&self, timeout: Option<Duration>) -> u64 {
        let Some(timeout) = timeout else { return NEVER };
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(NEVER).clamp(1, NEVER / 2);
        let period = (milliseconds / 10).max(1);
        let before = self.clock.period.fetch_min(period, Ordering::Relaxed);
        if before > period
            && let Some(running) = &*self.running.lock()
            && running.process == process::id()
        {
            running.source.shorten_period();
        }
        milliseconds + period.min(before) + 1
    }

    /// Starts a tick source, unless one runs already.
    pub(super) fn start(&self, start: StartTickSource) -> io::Result<()> {
        let mut running = self.running.lock();
        self.was_started.store(true, Ordering::Relaxed);
        match running.take() {
            Some(ours) if ours.process == process::id() => *running = Some(ours),
            inherited => {
                // Must not be dropped: the tick source does not exist in this process.
                mem::forget(inherited);
                *running = Some(Running { process: process::id(), source: start(self.clock.clone())? });
            }
        }
        Ok(())
    }

    pub(super) fn start_thread(&self) -> io::Result<()> {
        self.start(thread::start)
    }

    pub(super) fn was_started(&self) -> bool {
        self.was_started.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        match self.running.lock().take() {
            Some(running) if running.process == process::id() => drop(running),
            inherited => mem::forget(inherited),
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::wasm::{Engine, EngineConfig};

    const TIMEOUT: Duration = Duration::from_millis(50);

    /// Runs a guest that never returns, with that many ticks. Returns how long it ran.
    fn run_endlessly(engine: &Engine, ticks: u64) -> Duration {
        let module = wasmtime::Module::new(engine.wasmtime(), "(module (func (export \"f\") (loop (br 0))))").unwrap();
        let mut store = wasmtime::Store::new(engine.wasmtime(), ());
        let instance = {
            store.set_epoch_deadline(NEVER);
            wasmtime::Instance::new(&mut store, &module, &[]).unwrap()
        };
        let endless = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap();
        store.set_epoch_deadline(ticks);
        let start = Instant::now();
        let error = endless.call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&wasmtime::Trap::Interrupt));
        start.elapsed()
    }

    #[test]
    fn a_guest_gets_its_time_and_little_more() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        assert!(!engine.had_ticker());
        engine.start_ticker().unwrap();
        engine.start_ticker().unwrap();
        // The thread is sleeping for a second when it learns of a shorter timeout.
        let elapsed = run_endlessly(&engine, engine.ticks(Some(TIMEOUT)));
        assert!(elapsed >= TIMEOUT && elapsed < 10 * TIMEOUT, "{elapsed:?}");
        engine.stop_ticker();
        engine.stop_ticker();
        assert!(engine.had_ticker());
        engine.start_ticker().unwrap();
        let elapsed = run_endlessly(&engine, engine.ticks(Some(TIMEOUT)));
        assert!(elapsed >= TIMEOUT && elapsed < 10 * TIMEOUT, "{elapsed:?}");
    }

    #[test]
    fn a_pulse_comes_no_oftener_than_the_shortest_timeout_needs() {
        let ticker = Ticker::new(Engine::new(&EngineConfig::default()).unwrap().wasmtime().weak(), Deadlines::Checks);
        let period = || ticker.clock.period.load(Ordering::Relaxed);
        assert_eq!(ticker.ticks(None), NEVER);
        assert_eq!(period(), 1000);
        assert_eq!(ticker.ticks(Some(Duration::from_secs(1))), 1101);
        assert_eq!(period(), 100);
        ticker.ticks(Some(Duration::from_secs(60)));
        assert_eq!(period(), 100);
        ticker.ticks(Some(Duration::ZERO));
        assert_eq!(period(), 1);
        assert!(ticker.ticks(Some(Duration::MAX)) <= 2 * NEVER);
    }
}
