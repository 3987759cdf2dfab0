//! Names that every room uses: the static that identifies this module to nginx, and the versions.

use ngx_bindings::modules::HttpModule;
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
///
/// # Safety
///
/// The types are those that nginx keeps under it, or `()`: `MainConf` for `http`, `LocConf` for a
/// location, and `RequestContext` for a request.
#[inline]
pub unsafe fn main_module_of<Main, Loc, Ctx>() -> HttpModule<Main, Loc, Ctx> {
    let module = &raw const ngx_http_proxy_wasm_module;
    // SAFETY: this code runs in a module that nginx has loaded; its hooks make both configurations,
    // in the cycle's pool.
    unsafe { HttpModule::new(module) }
}

/// The same, for what needs only its index.
#[inline]
pub fn main_module() -> HttpModule {
    // SAFETY: nothing is asked for.
    unsafe { main_module_of() }
}
