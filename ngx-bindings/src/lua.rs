//! `ngx_http_lua_api.h`, and the part of Lua's own C API that runs a few lines in nginx's Lua VM.
//!
//! Every function is looked up by name while nginx runs, because nginx's Lua module may be linked
//! in, loaded, or absent.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::{mem, ptr, slice};

use nginx_sys::{self as sys, ngx_conf_t, ngx_cycle_t};

/// The Lua VM of nginx's `http`.
#[derive(Clone, Copy, Debug)]
pub struct Lua(*mut c_void);

impl Lua {
    /// The VM that a cycle's Lua runs in. `None` without the Lua module, and before its
    /// postconfiguration.
    ///
    /// # Safety
    ///
    /// `cycle` is valid, and this is the process's only thread that runs Lua.
    pub unsafe fn of(cycle: *mut ngx_cycle_t) -> Option<Self> {
        // SAFETY: `cycle` is valid and has the Lua module, so the Lua module's function finds its
        // configuration through `ctx`, which is the only part of a parser that it reads.
        unsafe {
            if !has_module(cycle, c"ngx_http_lua_module") {
                return None;
            }
            let global_state: unsafe extern "C" fn(*mut ngx_conf_t) -> *mut c_void =
                mem::transmute(symbol(c"ngx_http_lua_get_global_state")?);
            let http: *mut c_void = (*(*cycle).conf_ctx.add(sys::ngx_http_module.index)).cast();
            if http.is_null() {
                return None;
            }
            let mut cf: ngx_conf_t = mem::zeroed();
            cf.cycle = cycle;
            cf.ctx = http;
            let vm = global_state(&raw mut cf);
            (!vm.is_null()).then_some(Self(vm))
        }
    }

    /// Runs a chunk, and returns its result if that is a string. `None` if the chunk raises an
    /// error.
    pub fn run(self, chunk: &CStr) -> Option<Vec<u8>> {
        // SAFETY: the VM is valid by the handle's contract. The functions are those of Lua 5.1,
        // whose interface LuaJIT keeps. `lua_pcall` catches the chunk's errors, and the other
        // functions raise none. The string is copied before it is popped.
        unsafe {
            let load: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int =
                mem::transmute(symbol(c"luaL_loadstring")?);
            let call: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int =
                mem::transmute(symbol(c"lua_pcall")?);
            let to_string: unsafe extern "C" fn(*mut c_void, c_int, *mut usize) -> *const c_char =
                mem::transmute(symbol(c"lua_tolstring")?);
            let set_top: unsafe extern "C" fn(*mut c_void, c_int) = mem::transmute(symbol(c"lua_settop")?);

            let succeeded = load(self.0, chunk.as_ptr()) == 0 && call(self.0, 0, 1, 0) == 0;
            let mut len = 0;
            let text = to_string(self.0, -1, &raw mut len);
            let result = (succeeded && !text.is_null()).then(|| slice::from_raw_parts(text.cast(), len).to_vec());
            // Pops the one value: a result, or an error.
            set_top(self.0, -2);
            result
        }
    }
}

/// Returns whether a module of that name is in a cycle, linked in or loaded.
///
/// # Safety
///
/// `cycle` is valid.
unsafe fn has_module(cycle: *mut ngx_cycle_t, name: &CStr) -> bool {
    // SAFETY: the list ends with null, and every module in it has a name.
    unsafe {
        let mut module = (*cycle).modules;
        while !(*module).is_null() {
            if CStr::from_ptr((**module).name) == name {
                return true;
            }
            module = module.add(1);
        }
    }
    false
}

/// Finds a function of the process by its name.
fn symbol(name: &CStr) -> Option<*mut c_void> {
    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, symbol: *const c_char) -> *mut c_void;
    }
    // The value of RTLD_DEFAULT in glibc and musl.
    // SAFETY: the name ends with a zero.
    let address = unsafe { dlsym(ptr::null_mut(), name.as_ptr()) };
    (!address.is_null()).then_some(address)
}
