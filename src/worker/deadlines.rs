//! Starts the clock that enforces plugin deadlines, in every process that runs guests.

use ngx_bindings::cycle::serves;
use proxy_wasm_host::wasm::Engine;

use super::cpu_timer;

/// Starts the clock for guests that are about to run in this process.
pub fn start(engine: &Engine) {
    let Err(problem) = engine.start_ticker_by(cpu_timer::start) else { return };
    tracing::info!("proxy_wasm: a thread keeps the time for deadlines of plugins: {problem}");
    if let Err(error) = engine.start_ticker() {
        tracing::error!("proxy_wasm: deadlines of plugins do not hold: no thread can be made: {error}");
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
