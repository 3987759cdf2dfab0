//! No panic crosses into C: every `extern "C"` function of ours does its work in here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`; if it panics, answers `fallback` and says so in the error log.
#[inline]
pub fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!("proxy_wasm: a defect of this module was contained: {}", text.unwrap_or("panic"));
        fallback
    })
}
