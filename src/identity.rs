//! Names that every room uses: the static that identifies this module to nginx, and the versions.

use ngx_bindings::sys::ngx_module_t;

/// The version of this module.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of wasmtime that is linked in.
pub const WASMTIME_VERSION: &str = env!("WASMTIME_VERSION");

unsafe extern "C" {
    /// Defined in [`crate::module`] and declared here, as nginx's headers do it, so that code which
    /// needs only the module's index does not depend on that file.
    static mut ngx_http_proxy_wasm_module: ngx_module_t;
}

/// The module under whose index requests and locations keep this module's data.
#[inline]
pub fn main_module() -> *const ngx_module_t {
    &raw const ngx_http_proxy_wasm_module
}
