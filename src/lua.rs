//! C functions behind `lib/resty/proxy-wasm.lua`. They use the same contexts as the native path,
//! but APISIX drives the callbacks.
//!
//! Lua holds plugins and PluginContexts as pointers to boxes of this module. Its garbage collector
//! frees them, perhaps after `exit_process`. Requests know a PluginContext by its address.
//!
//! The functions' arguments have the types that say what Lua passes: the running request, or null
//! where there is none; a plugin or a PluginContext that it holds; a place for a result. A string
//! comes as a pointer with a length.
//!
//! | file | what it is |
//! |---|---|
//! | `plugins` | registers, loads and configures plugins |
//! | `loading` | a plugin's module on its way |
//! | `requests` | the callbacks of a request without a body |
//! | `bodies` | the callbacks with a body |
//! | `calls` | the HTTP calls that Lua makes for plugins |
//! | `waiting` | a Lua thread that waits for a plugin |
//! | `properties` | properties of a request |
//! | `status` | metrics and status |
//! | `answer` | returns bytes to Lua |

mod answer;
mod bodies;
mod calls;
mod loading;
mod plugins;
mod properties;
mod requests;
mod status;
mod waiting;

use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, Ordering};

use ngx_bindings::conf::Conf;
use ngx_bindings::string;
use ngx_bindings::sys::ngx_str_t;
use proxy_wasm_host::{Announced, PluginContext};

use self::loading::{Failed, Load};

use super::conf::Policy;
use super::context::{NginxHost, Source};
use super::worker::{MainConf, Vm};

/// The configuration of `http` that this process reads or runs on. Functions that run in
/// `init_by_lua` can find it only here.
static CURRENT: AtomicPtr<MainConf> = AtomicPtr::new(ptr::null_mut());

/// Remembers the configuration that nginx is reading, until its pool is destroyed.
pub fn set_configuration(cf: Conf, main: &MainConf) {
    extern "C" fn forget(main: *mut c_void) {
        let _ = CURRENT.compare_exchange(main.cast(), ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }
    let data = ptr::from_ref(main).cast_mut().cast();
    if cf.pool().on_destroy(forget, data).is_ok() {
        set_current(Some(main));
    }
}

/// Remembers the configuration that this process runs on; `None` without `http`.
pub fn set_current(main: Option<&MainConf>) {
    CURRENT.store(main.map_or(ptr::null_mut(), |main| ptr::from_ref(main).cast_mut()), Ordering::Relaxed);
}

/// Uses the configuration that this process reads or runs on.
fn with_current<R>(body: impl FnOnce(&MainConf) -> R) -> Option<R> {
    // SAFETY: null, or a configuration that forgets itself when it goes.
    unsafe { CURRENT.load(Ordering::Relaxed).as_ref() }.map(body)
}

/// A plugin that Lua loads. A helper process loads its module only when the plugin is first
/// configured.
struct LuaPlugin {
    name: String,
    path: PathBuf,
    loaded: OnceCell<LoadedPlugin>,
    /// The module on its way, or why there is none.
    load: RefCell<Option<Result<Load, Failed>>>,
    /// For the VM, once there is one.
    announced: Rc<Cell<Option<Announced>>>,
}

/// A plugin whose file was loaded.
struct LoadedPlugin {
    vm: Vm,
    policy: Rc<Policy>,
}

/// A PluginContext that Lua made: one configuration of a plugin.
struct LuaPluginContext {
    context: Rc<PluginContext<NginxHost>>,
    policy: Rc<Policy>,
}

impl LuaPluginContext {
    /// The source of this PluginContext's HttpContexts. It lives at least as long as they do, so no
    /// other PluginContext has its address meanwhile.
    fn source(&self) -> Source {
        Source::Lua(Rc::as_ptr(&self.context) as usize)
    }
}

/// # Safety
///
/// `data` points at `len` bytes that stay for `'a`, or `len` is 0.
unsafe fn bytes<'a>(data: *const c_char, len: usize) -> &'a [u8] {
    // SAFETY: by this function's contract.
    unsafe { string::bytes(ngx_str_t { len, data: data.cast_mut().cast() }) }
}
