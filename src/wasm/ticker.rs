//! Time for deadlines: a thread that advances the engine's epoch.
//!
//! A tick of the epoch is always one millisecond, but the thread wakes no oftener than a tenth of the shortest timeout in use,
//! and then advances several at once. A deadline is therefore granted a tenth more than its timeout. A worker that the machine
//! starved or stopped is not held against its plugins: a wake-up counts for the sleep it asked for, not for the time that passed.

use std::io;
use std::mem;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};
use parking_lot::Mutex;
use wasmtime::EngineWeak;

/// The longest sleep, in milliseconds: what a worker without any short timeout pays is one wake-up a second.
const LONGEST_SLEEP: u64 = 1000;

/// For a guest without a deadline: some hundred million years, and far from overflow when added to the present epoch.
const NEVER: u64 = u64::MAX >> 1;

pub(super) struct Ticker {
    engine: EngineWeak,
    /// Milliseconds from wake-up to wake-up.
    sleep: Arc<AtomicU64>,
    thread: Mutex<Option<Thread>>,
    /// Some time, here or before a fork.
    was_started: AtomicBool,
}

struct Thread {
    /// Where it runs: a fork copies this note, but not the thread.
    process: u32,
    /// Wakes it to look at the sleep again; dropped, it ends the thread.
    wake: Sender<()>,
    handle: JoinHandle<()>,
}

impl Ticker {
    pub(super) fn new(engine: EngineWeak) -> Self {
        Self {
            engine,
            sleep: Arc::new(AtomicU64::new(LONGEST_SLEEP)),
            thread: Mutex::new(None),
            was_started: AtomicBool::new(false),
        }
    }

    /// The ticks that stand for a timeout; from now on the thread wakes often enough for it.
    pub(super) fn ticks(&self, timeout: Option<Duration>) -> u64 {
        let Some(timeout) = timeout else { return NEVER };
        let milliseconds = u64::try_from(timeout.as_millis()).unwrap_or(NEVER).clamp(1, NEVER / 2);
        let sleep = (milliseconds / 10).clamp(1, LONGEST_SLEEP);
        if self.sleep.fetch_min(sleep, Ordering::Relaxed) > sleep
            && let Some(thread) = &*self.thread.lock()
        {
            // A thread that is not there, being another process's, need not be woken.
            let _ = thread.wake.send(());
        }
        milliseconds + milliseconds / 10 + 1
    }

    pub(super) fn start(&self) -> io::Result<()> {
        let mut thread = self.thread.lock();
        self.was_started.store(true, Ordering::Relaxed);
        match thread.take() {
            Some(running) if running.process == process::id() => *thread = Some(running),
            inherited => {
                // Neither joined nor detached: there is no such thread in this process.
                mem::forget(inherited);
                *thread = Some(self.spawn()?);
            }
        }
        Ok(())
    }

    pub(super) fn was_started(&self) -> bool {
        self.was_started.load(Ordering::Relaxed)
    }

    pub(super) fn stop(&self) {
        match self.thread.lock().take() {
            Some(thread) if thread.process == process::id() => {
                drop(thread.wake);
                // It cannot panic, and there is nothing to be done if it did.
                let _ = thread.handle.join();
            }
            inherited => mem::forget(inherited),
        }
    }

    fn spawn(&self) -> io::Result<Thread> {
        let (wake, woken) = mpsc::channel();
        let engine = self.engine.clone();
        let sleep = Arc::clone(&self.sleep);
        // nginx's signal handlers expect to run on its only thread, and a signal that this one takes does not interrupt the
        // main thread's epoll_wait. A thread inherits the mask, so it is set before there is one.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let spawned = Builder::new().name("wasm-ticker".into()).spawn(move || tick(&engine, &sleep, &woken));
        mask.thread_set_mask()?;
        Ok(Thread { process: process::id(), wake, handle: spawned? })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn tick(engine: &EngineWeak, sleep: &AtomicU64, woken: &Receiver<()>) {
    loop {
        let milliseconds = sleep.load(Ordering::Relaxed);
        match woken.recv_timeout(Duration::from_millis(milliseconds)) {
            Ok(()) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        let Some(engine) = engine.upgrade() else { return };
        for _ in 0..milliseconds {
            engine.increment_epoch();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;
    use crate::wasm::{Engine, EngineConfig};

    const TIMEOUT: Duration = Duration::from_millis(50);

    /// Runs a guest that never returns, with that many ticks; for how long?
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
        // The thread sleeps a second at a time when it learns of a shorter timeout.
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
    fn it_wakes_no_oftener_than_the_shortest_timeout_needs() {
        let ticker = Ticker::new(Engine::new(&EngineConfig::default()).unwrap().wasmtime().weak());
        let sleep = || ticker.sleep.load(Ordering::Relaxed);
        assert_eq!(ticker.ticks(None), NEVER);
        assert_eq!(sleep(), 1000);
        assert_eq!(ticker.ticks(Some(Duration::from_secs(1))), 1101);
        assert_eq!(sleep(), 100);
        ticker.ticks(Some(Duration::from_secs(60)));
        assert_eq!(sleep(), 100);
        ticker.ticks(Some(Duration::ZERO));
        assert_eq!(sleep(), 1);
        assert!(ticker.ticks(Some(Duration::MAX)) <= 2 * NEVER);
    }

    #[test]
    fn no_signal_reaches_its_thread() {
        let engine = Engine::new(&EngineConfig::default()).unwrap();
        engine.start_ticker().unwrap();
        let blocked = |task: &str| {
            let status = fs::read_to_string(format!("{task}/status")).unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim().to_owned();
            u64::from_str_radix(&mask, 16).unwrap()
        };
        let tickers = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        let tickers: Vec<_> = tickers
            .filter(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "wasm-ticker"))
            .collect();
        assert!(!tickers.is_empty());
        for ticker in tickers {
            // All but those that cannot be blocked, 9 and 19, and the two that the C library keeps to itself, 32 and 33.
            let expected = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);
            assert_eq!(blocked(ticker.to_str().unwrap()) & expected, expected);
        }
        assert_eq!(blocked("/proc/thread-self") & 1, 0, "only there");
    }
}
