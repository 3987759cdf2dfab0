//! C functions behind `lib/resty/proxy-wasm.lua`: the same contexts as the native path, driven by APISIX.
//!
//! Lua holds plugins and plugin contexts as pointers to boxes of ours and frees them by its garbage collector, which may be after
//! `exit_process`; requests know a plugin context by the address of its box.
//!
//! | file | what it is |
//! |---|---|
//! | `plugins` | register, load and configure |
//! | `requests` | the callbacks of a request |
//! | `bodies` | those with a body |
//! | `calls` | the HTTP calls that Lua makes for them |
//! | `waiting` | a thread of Lua's that waits for a plugin |
//! | `properties` | those of a request |
//! | `status` | metrics and status |
//! | `answer` | bytes for Lua |

mod answer;
mod bodies;
mod calls;
mod plugins;
mod properties;
mod requests;
mod status;
mod waiting;

use std::cell::OnceCell;
use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicPtr, Ordering};

use ngx_bindings::conf::Conf;
use ngx_bindings::string;
use ngx_bindings::sys::ngx_str_t;
use proxy_wasm_host::PluginContext;

use super::conf::Policy;
use super::context::{NginxHost, Source};
use super::worker::{MainConf, Vm};

/// The configuration of `http` that this process reads, or runs on. In `init_by_lua` there is no other way to it.
static CURRENT: AtomicPtr<MainConf> = AtomicPtr::new(ptr::null_mut());

/// Remembers the configuration being read, until its pool goes.
pub fn set_configuration(cf: Conf, main: *mut MainConf) {
    extern "C" fn forget(main: *mut c_void) {
        let _ = CURRENT.compare_exchange(main.cast(), ptr::null_mut(), Ordering::Relaxed, Ordering::Relaxed);
    }
    if cf.pool().on_destroy(forget, main.cast()).is_ok() {
        set_current(main);
    }
}

/// Remembers the configuration that this process runs on; null without `http`.
pub fn set_current(main: *mut MainConf) {
    CURRENT.store(main, Ordering::Relaxed);
}

/// The configuration that this process reads, or runs on.
fn current<'a>() -> Option<&'a MainConf> {
    // SAFETY: null, or a configuration that forgets itself when it goes.
    unsafe { CURRENT.load(Ordering::Relaxed).as_ref() }
}

/// A plugin that Lua loaded. In a helper process it is loaded when it is first configured, if ever.
struct LuaPlugin {
    name: String,
    path: PathBuf,
    loaded: OnceCell<LoadedPlugin>,
}

/// What its file became.
struct LoadedPlugin {
    vm: Vm,
    policy: Policy,
}

/// A configuration of it.
struct LuaPluginContext {
    context: Rc<PluginContext<NginxHost>>,
    policy: Policy,
}

impl LuaPluginContext {
    /// Where its HttpContexts come from. It lives as long as they do, so its address means no other.
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
