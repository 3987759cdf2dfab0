//! C functions behind `lib/resty/proxy-wasm.lua`: the same contexts as the native path, driven by APISIX.
//!
//! Lua holds plugins and plugin contexts as pointers to boxes of ours and frees them by its garbage collector, which may be after
//! `exit_process`; requests know a plugin context by the address of its box.

use std::ffi::{c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};

use ngx_bindings::conf::Conf;
use ngx_bindings::sys::ngx_http_request_t;
use ngx_bindings::{Request, string};

use super::configuration::{MainConf, Policy, Runtime};
use super::guard::guard;
use super::host::{Answer, NginxHost, header_count};
use super::request::{RequestContext, Source, Verdict};
use super::worker;
use crate::proxy_wasm::abi::{Action, MapType};
use crate::proxy_wasm::{Failure, HttpContext, PluginContext, VmContext};

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

fn current_runtime<'a>() -> Option<&'a Runtime> {
    // SAFETY: null, or a configuration that forgets itself when it goes.
    unsafe { CURRENT.load(Ordering::Relaxed).as_ref() }.and_then(MainConf::runtime)
}

/// A plugin that Lua loaded.
pub struct LuaPlugin {
    vm: Rc<VmContext<NginxHost>>,
    policy: Policy,
}

/// A configuration of it.
pub struct LuaPluginContext {
    context: Rc<PluginContext<NginxHost>>,
    policy: Policy,
}

/// What a callback wants Lua to do.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Outcome {
    /// There is no request: what timers and init_worker_by_lua run in is none.
    NoRequest = -2,
    Error = -1,
    Continue = 0,
    /// Fetch the answer and send it.
    Answer = 1,
    Pause = 2,
}

/// Loads a plugin; null, and a line in the error log, if that fails.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_load(name: *const c_char, name_len: usize, path: *const c_char, path_len: usize) -> *mut LuaPlugin {
    // SAFETY: Lua passes strings of its own with their lengths.
    let (name, path) = unsafe { (bytes(name, name_len), bytes(path, path_len)) };
    guard(ptr::null_mut(), || load(name, path).map_or(ptr::null_mut(), |plugin| Box::into_raw(Box::new(plugin))))
}

fn load(name: &[u8], path: &[u8]) -> Option<LuaPlugin> {
    let Some(runtime) = current_runtime() else {
        tracing::error!("miss wasm_vm configuration");
        return None;
    };
    let (name, path) = (String::from_utf8_lossy(name), String::from_utf8_lossy(path));
    match runtime.load(&name, Path::new(&*path), &runtime.options) {
        Ok(plugin) => Some(LuaPlugin { vm: VmContext::new(plugin, NginxHost::factory()), policy: Policy::from(&runtime.options) }),
        Err(error) => {
            tracing::error!("failed to load wasm plugin \"{name}\" at {path}: {error}");
            None
        }
    }
}

/// Lets go of a plugin; it stays until its last context has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_unload(plugin: *mut LuaPlugin) {
    // SAFETY: Lua's collector passes, once, what `load` answered.
    guard((), || drop(unsafe { Box::from_raw(plugin) }));
}

/// Configures a plugin; null, and a line in the error log, if it refuses or fails.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_configure(plugin: *const LuaPlugin, conf: *const c_char, conf_len: usize) -> *mut LuaPluginContext {
    // SAFETY: Lua passes a plugin it holds, and a string of its own with its length.
    let (plugin, conf) = unsafe { (&*plugin, bytes(conf, conf_len)) };
    guard(ptr::null_mut(), || {
        if let Some(runtime) = current_runtime() {
            runtime.run_guests();
        }
        let context = plugin.vm.plugin_context(Arc::from(conf));
        match context.start() {
            Ok(()) => Box::into_raw(Box::new(LuaPluginContext { context, policy: plugin.policy })),
            Err(failure) => {
                worker::report(&context, &failure);
                ptr::null_mut()
            }
        }
    })
}

/// Lets go of a plugin context; it stays until its last request has ended.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_delete_plugin_ctx(context: *mut LuaPluginContext) {
    // SAFETY: Lua's collector passes, once, what `on_configure` answered.
    guard((), || drop(unsafe { Box::from_raw(context) }));
}

/// `proxy_on_request_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_request_headers(r: *mut ngx_http_request_t, context: *const LuaPluginContext) -> c_int {
    // SAFETY: Lua passes the running request and a plugin context it holds.
    unsafe {
        on_http(r, context, |request, http| {
            http.on_request_headers(header_count(request, MapType::HttpRequestHeaders), !request.has_body())
        })
    }
}

/// `proxy_on_response_headers`.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_on_http_response_headers(r: *mut ngx_http_request_t, context: *const LuaPluginContext) -> c_int {
    // SAFETY: as above.
    unsafe {
        on_http(r, context, |request, http| {
            http.on_response_headers(header_count(request, MapType::HttpResponseHeaders), request.header_only())
        })
    }
}

/// # Safety
///
/// `r` is a valid request and `context` what `on_configure` answered.
unsafe fn on_http(
    r: *mut ngx_http_request_t,
    context: *const LuaPluginContext,
    callback: impl FnOnce(Request, &mut HttpContext<NginxHost>) -> Result<Action, Failure>,
) -> c_int {
    guard(Outcome::Error as c_int, || {
        // SAFETY: by this function's contract.
        let (request, plugin) = unsafe { (Request::from_ptr(r), &*context) };
        let Some(request) = request.filter(|request| !request.is_fake()) else {
            return Outcome::NoRequest as c_int;
        };
        call(request, plugin, |http| callback(request, http)) as c_int
    })
}

fn call(request: Request, plugin: &LuaPluginContext, callback: impl FnOnce(&mut HttpContext<NginxHost>) -> Result<Action, Failure>) -> Outcome {
    let Ok(ctx) = RequestContext::of_or_new(request) else {
        return Outcome::Error;
    };
    let source = Source::Lua(ptr::from_ref(plugin) as usize);
    let slot = match ctx.position(source) {
        Some(slot) => Ok(slot),
        None => ctx.open(source, &plugin.context, plugin.policy),
    };
    match slot.map_or_else(|verdict| verdict, |slot| ctx.call(slot, callback)) {
        Verdict::Continue => Outcome::Continue,
        Verdict::Pause => Outcome::Pause,
        Verdict::Fail | Verdict::Close => Outcome::Error,
        Verdict::Answer(answer) => {
            ctx.set_answer(answer);
            Outcome::Answer
        }
    }
}

/// Puts the header fields of the answer into the response and tells Lua the rest: its status, and its body, which lives as long as
/// the request. -1 if there is no answer.
#[unsafe(no_mangle)]
unsafe extern "C" fn ngx_http_proxy_wasm_local_response(r: *mut ngx_http_request_t, body: *mut *const c_char, body_len: *mut usize) -> c_int {
    guard(-1, || {
        // SAFETY: Lua passes the running request.
        let request = unsafe { Request::from_ptr(r) };
        let Some((request, answer)) = request.and_then(|request| Some((request, RequestContext::of(request)?.take_answer()?))) else {
            return -1;
        };
        let Ok((data, len)) = prepare(request, &answer) else {
            return -1;
        };
        // SAFETY: Lua passes places for both.
        unsafe {
            *body = data;
            *body_len = len;
        }
        answer.status as c_int
    })
}

fn prepare(request: Request, answer: &Answer) -> Result<(*const c_char, usize), ngx_bindings::pool::AllocError> {
    answer.set_header(request)?;
    let body = request.pool().copy(&answer.body)?;
    Ok((body.data.cast(), body.len))
}

/// # Safety
///
/// `data` points at `len` bytes that stay for `'a`, or `len` is 0.
unsafe fn bytes<'a>(data: *const c_char, len: usize) -> &'a [u8] {
    // SAFETY: by this function's contract.
    unsafe { string::bytes(ngx_bindings::sys::ngx_str_t { len, data: data.cast_mut().cast() }) }
}
