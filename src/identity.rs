//! Names that every room uses: the module that nginx keeps our data under, and the versions.

use ngx_bindings::sys::ngx_module_t;

/// The version of this module.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of the wasmtime in it.
pub const WASMTIME_VERSION: &str = env!("WASMTIME_VERSION");

unsafe extern "C" {
    /// Defined in [`crate::module`], declared here as nginx's headers do it: whoever needs its index knows nothing else of it.
    static mut ngx_http_proxy_wasm_module: ngx_module_t;
}

/// The module whose index requests and locations keep our data under.
#[inline]
pub fn main_module() -> *const ngx_module_t {
    &raw const ngx_http_proxy_wasm_module
}
