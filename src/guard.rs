//! Stops panics before they reach C: every `extern "C"` function of this module does its work in
//! [`guard`].

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs `body`. If it panics, logs the panic and returns `fallback`.
#[inline]
pub fn guard<T>(fallback: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        tracing::error!("proxy_wasm: a defect of this module was contained: {}", text.unwrap_or("panic"));
        fallback
    })
}
