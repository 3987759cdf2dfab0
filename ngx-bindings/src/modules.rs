//! `ngx_module.h`, `ngx_conf_file.h`: other modules, and the values of their directives in a
//! location.

use std::ffi::{CStr, c_char, c_void};

use nginx_sys::{self as sys, ngx_flag_t, ngx_module_t, ngx_str_t};

/// A text begins with its length, so that it can be read as a size is.
const _: () = assert!(std::mem::offset_of!(ngx_str_t, len) == 0);

use crate::conf::Conf;

/// Finds a module of the configuration that is being read.
pub fn find(cf: Conf, name: &CStr) -> Option<*const ngx_module_t> {
    // SAFETY: a cycle's modules are an array that ends with null; nginx gives each a name, in
    // memory that lives as long.
    unsafe {
        let mut module = (*(*cf.as_ptr()).cycle).modules;
        while !(*module).is_null() {
            let its_name: *const c_char = (**module).name.cast();
            if !its_name.is_null() && CStr::from_ptr(its_name) == name {
                return Some(*module);
            }
            module = module.add(1);
        }
    }
    None
}

/// The configurations of one location, one for each module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location(*mut *mut c_void);

impl Location {
    /// The configurations of the location that is being merged.
    pub fn merged(cf: Conf) -> Self {
        // SAFETY: inside `http`, `cf->ctx` is a context of `http`.
        unsafe {
            let ctx: *mut sys::ngx_http_conf_ctx_t = (*cf.as_ptr()).ctx.cast();
            Self((*ctx).loc_conf)
        }
    }

    /// A module's configuration.
    ///
    /// # Safety
    ///
    /// The module is one of `http`, `T` is what its `create_loc_conf` returns, and the
    /// configuration is alive.
    pub unsafe fn conf<T>(self, module: *const ngx_module_t) -> *mut T {
        // SAFETY: by this function's contract.
        unsafe { (*self.0.add((*module).ctx_index as usize)).cast() }
    }
}

/// A directive of another module whose value nginx itself stores: a text, a size, or `on` and
/// `off`.
#[derive(Clone, Copy)]
pub struct Directive {
    module: *const ngx_module_t,
    offset: usize,
    is_flag: bool,
}

impl Directive {
    /// Finds the directive, if nginx has the module and the value is of one of those kinds.
    pub fn find(cf: Conf, module: &CStr, name: &str) -> Option<Self> {
        let module = find(cf, module)?;
        // SAFETY: a module's commands are an array that ends with an empty name; nginx never
        // changes it.
        unsafe {
            let mut command = (*module).commands;
            while !command.is_null() && (*command).name.len > 0 {
                if crate::string::bytes((*command).name) == name.as_bytes() {
                    let set = (*command).set? as usize;
                    let is_flag = set == sys::ngx_conf_set_flag_slot as *const () as usize;
                    let is_text = set == sys::ngx_conf_set_str_slot as *const () as usize;
                    let is_size = set == sys::ngx_conf_set_size_slot as *const () as usize;
                    let known = is_flag || is_text || is_size;
                    return known.then_some(Self { module, offset: (*command).offset as usize, is_flag });
                }
                command = command.add(1);
            }
        }
        None
    }

    /// Returns whether the directive is set, or on, in a location whose configuration has been
    /// merged.
    pub fn is_in_force(self, location: Location) -> bool {
        // SAFETY: nginx's own setter stores a value of that kind at that offset in the module's
        // configuration of the location.
        unsafe {
            let conf: *mut u8 = location.conf(self.module);
            if conf.is_null() {
                return false;
            }
            let value = conf.add(self.offset);
            if self.is_flag { *value.cast::<ngx_flag_t>() == 1 } else { *value.cast::<usize>() > 0 }
        }
    }
}
