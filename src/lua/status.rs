//! The module's metrics and status, for Lua.

use std::ffi::{c_char, c_int};

use proxy_wasm_host::status::json;

use super::answer::answer;
use super::with_current;
use crate::guard::guard;
use crate::pages;
use crate::worker::MainConf;

/// Returns the page of [`pages::metrics`]; -1 if there is none.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_metrics(text: &mut *const c_char, len: &mut usize) -> c_int {
    guard(-1, || page(pages::metrics, text, len))
}

/// Returns the page of [`pages::status`] in JSON; -1 if the module is not enabled.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_status(text: &mut *const c_char, len: &mut usize) -> c_int {
    let status = |main: &MainConf| main.said.enabled.then(|| json(&pages::status(main)));
    guard(-1, || page(status, text, len))
}

fn page(make: impl FnOnce(&MainConf) -> Option<String>, text: &mut *const c_char, len: &mut usize) -> c_int {
    match with_current(make).flatten() {
        Some(page) => {
            answer(page.into_bytes(), text, len);
            0
        }
        None => -1,
    }
}
