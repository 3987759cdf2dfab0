//! `ngx_http_lua_api.h`, and the part of Lua's own C API that runs a few lines in nginx's Lua VM.
//!
//! Every function is looked up by name while nginx runs, because nginx's Lua module may be linked
//! in, loaded, or absent.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::{mem, ptr, slice};

use nginx_sys::ngx_conf_t;

use crate::cycle::{self, Cycle};
use crate::live::zeroed;
use crate::modules;

/// The Lua VM of nginx's `http`.
#[derive(Clone, Copy, Debug)]
pub struct Lua(*mut c_void);

impl Lua {
    /// The VM that a cycle's Lua runs in. `None` without the Lua module, and before its
    /// postconfiguration.
    ///
    /// # Safety
    ///
    /// This is the process's only thread that runs Lua, and the handle is used no longer than the
    /// cycle.
    pub unsafe fn of(cycle: Cycle<'_>) -> Option<Self> {
        modules::find_among(cycle.raw(), c"ngx_http_lua_module")?;
        let http = cycle::http(cycle.raw())?;
        let mut cf: ngx_conf_t = zeroed();
        cf.cycle = cycle.as_ptr();
        cf.ctx = (&raw const *http).cast_mut().cast();
        // SAFETY: the function of that name has this type.
        let global_state: GlobalState = unsafe { mem::transmute(symbol(c"ngx_http_lua_get_global_state")?) };
        // SAFETY: the cycle has the Lua module, so its function finds its configuration through
        // `ctx`, which is the only part of a parser that it reads.
        let vm = unsafe { global_state(&raw mut cf) };
        (!vm.is_null()).then_some(Self(vm))
    }

    /// Runs a chunk, and returns its result if that is a string. `None` if the chunk raises an
    /// error.
    pub fn run(self, chunk: &CStr) -> Option<Vec<u8>> {
        let api = Api::find()?;
        // SAFETY: the VM is valid by the handle's contract; the function raises no error.
        let loaded = unsafe { (api.load)(self.0, chunk.as_ptr()) } == 0;
        // SAFETY: the chunk was loaded; the function catches its errors.
        let succeeded = loaded && unsafe { (api.call)(self.0, 0, 1, 0) } == 0;
        let mut len = 0;
        // SAFETY: there is one value, a result or an error; the function raises no error.
        let text: *const u8 = unsafe { (api.to_string)(self.0, -1, &raw mut len) }.cast();
        let result = (succeeded && !text.is_null()).then(|| {
            // SAFETY: the string is valid until its value is popped.
            unsafe { slice::from_raw_parts(text, len) }.to_vec()
        });
        // SAFETY: pops that value.
        unsafe { (api.set_top)(self.0, -2) };
        result
    }
}

type GlobalState = unsafe extern "C" fn(*mut ngx_conf_t) -> *mut c_void;
/// Functions of Lua 5.1, whose interface LuaJIT keeps.
#[repr(C)]
struct Api {
    load: unsafe extern "C" fn(*mut c_void, *const c_char) -> c_int,
    call: unsafe extern "C" fn(*mut c_void, c_int, c_int, c_int) -> c_int,
    to_string: unsafe extern "C" fn(*mut c_void, c_int, *mut usize) -> *const c_char,
    set_top: unsafe extern "C" fn(*mut c_void, c_int),
}

impl Api {
    fn find() -> Option<Self> {
        let functions =
            [symbol(c"luaL_loadstring")?, symbol(c"lua_pcall")?, symbol(c"lua_tolstring")?, symbol(c"lua_settop")?];
        // SAFETY: the functions of these names have these types.
        Some(unsafe { mem::transmute::<[*mut c_void; 4], Self>(functions) })
    }
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
