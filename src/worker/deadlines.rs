//! Chooses how plugin deadlines are kept, and starts the clock in every process that runs guests.

use std::io;

use ngx_bindings::cycle::serves;
use proxy_wasm_host::wasm::{Deadlines, Engine};

use super::cpu_timer;

/// How deadlines are kept: by a signal, where nginx's thread can have it.
pub fn choose() -> Deadlines {
    match cpu_timer::try_out() {
        Ok(()) => Deadlines::Signal,
        Err(problem) => {
            tracing::info!("proxy_wasm: checks in plugins and a thread keep deadlines: {problem}");
            Deadlines::Checks
        }
    }
}

/// Starts the clock for guests that are about to run in this process.
pub fn start(engine: &Engine) {
    if let Err(error) = try_start(engine) {
        tracing::error!("proxy_wasm: deadlines of plugins do not hold: {error}");
    }
}

/// Does the same as [`start`].
///
/// # Errors
/// If there is nothing that could keep the time.
pub fn try_start(engine: &Engine) -> io::Result<()> {
    match engine.config().deadlines {
        Deadlines::Signal => engine.start_ticker_by(cpu_timer::start),
        Deadlines::Checks | Deadlines::Off => engine.start_ticker(),
    }
}

/// Runs guests with the clock, while nginx starts. In the master, which will fork, the clock stops
/// afterwards.
pub fn hold_while<R>(engine: &Engine, run: impl FnOnce() -> R) -> R {
    start(engine);
    let result = run();
    if !serves() {
        engine.stop_ticker();
    }
    result
}

/// Starts the clock again in a worker, for guests that started in the master and run on here.
pub fn resume(engine: &Engine) {
    if engine.had_ticker() {
        start(engine);
    }
}
