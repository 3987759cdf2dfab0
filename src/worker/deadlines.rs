//! That deadlines of plugins hold, in whichever process their guests run.

use ngx_bindings::cycle::serves;
use proxy_wasm_host::wasm::Engine;

use super::pulse;

/// Lets time pass for guests that are about to start in this process.
pub fn start(engine: &Engine) {
    let Err(problem) = engine.start_ticker_by(pulse::start) else { return };
    tracing::info!("proxy_wasm: a thread keeps the time for deadlines of plugins: {problem}");
    if let Err(error) = engine.start_ticker() {
        tracing::error!("proxy_wasm: deadlines of plugins do not hold: no thread can be made: {error}");
    }
}

/// Runs guests that nginx's start, not a request, gives rise to. In the master, which will fork, the time ends with them.
pub fn hold_while<R>(engine: &Engine, run: impl FnOnce() -> R) -> R {
    start(engine);
    let result = run();
    if !serves() {
        engine.stop_ticker();
    }
    result
}

/// Time for the guests that the master started: they run on in this process.
pub fn resume(engine: &Engine) {
    if engine.had_ticker() {
        start(engine);
    }
}
