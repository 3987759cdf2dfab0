//! A tick source from a thread, for hosts that have nothing better.

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};

use super::{Clock, TickSource};

struct Thread {
    /// Wakes the thread to read the period again; dropping it ends the thread.
    wake: Option<Sender<()>>,
    handle: Option<JoinHandle<()>>,
}

/// Starts a thread that receives no signals. A server's signal handlers expect to run on its own
/// thread, and a signal taken by another thread does not interrupt what the server's thread waits
/// for.
pub(super) fn start(clock: Clock) -> io::Result<Box<dyn TickSource>> {
    let (wake, woken) = mpsc::channel();
    // A thread inherits the signal mask, so the mask is set before the thread starts.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = Builder::new().name("wasm-ticker".into()).spawn(move || tick(&clock, &woken));
    mask.thread_set_mask()?;
    Ok(Box::new(Thread { wake: Some(wake), handle: Some(spawned?) }))
}

impl TickSource for Thread {
    fn shorten_period(&self) {
        if let Some(wake) = &self.wake {
            // Fails if the thread has ended because its engine is gone; it need not be woken then.
            let _ = wake.send(());
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(handle) = self.handle.take() {
            // The thread cannot panic; if it did, nothing could be done here.
            let _ = handle.join();
        }
    }
}

fn tick(clock: &Clock, woken: &Receiver<()>) {
    loop {
        match woken.recv_timeout(clock.period()) {
            Ok(()) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if !clock.advance(1) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::wasm::{Engine, EngineConfig};

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
            // All signals except those that cannot be blocked, 9 and 19, and those that the C
            // library reserves, 32 and 33.
            let expected = !(1 << 8 | 1 << 18 | 1 << 31 | 1 << 32);
            assert_eq!(blocked(ticker.to_str().unwrap()) & expected, expected);
        }
        assert_eq!(blocked("/proc/thread-self") & 1, 0, "only there");
    }
}
