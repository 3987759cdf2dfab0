//! Stops panics before they reach C.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cycle;
use crate::log::Level;

/// Runs what an `extern "C"` function does. If it panics, logs the panic and returns `fallback`.
#[inline]
pub fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        let text = text.unwrap_or("panic");
        cycle::with_log(|log| {
            log.print(Level::Error, format_args!("proxy_wasm: a defect of this module was contained: {text}"));
        });
        fallback
    })
}
