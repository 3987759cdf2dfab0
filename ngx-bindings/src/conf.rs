//! `ngx_conf_file.h`: the directive that is being read.

use std::ffi::{OsStr, c_char};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use nginx_sys::{
    self as sys, ngx_conf_log_error, ngx_conf_t, ngx_http_conf_ctx_t, ngx_module_t, ngx_str_t, ngx_uint_t,
};

use crate::log::Level;
use crate::string;
use crate::{Log, Pool};

/// The result of a directive handler on success.
pub const CONF_OK: *mut c_char = ptr::null_mut();
/// The result of a directive handler that has logged an error.
pub const CONF_ERROR: *mut c_char = usize::MAX as *mut c_char;

/// The state of nginx's configuration parser.
#[derive(Clone, Copy)]
pub struct Conf(*mut ngx_conf_t);

impl Conf {
    /// # Safety
    ///
    /// `cf` is what nginx passed to a directive or module handler, used only inside it.
    pub unsafe fn from_ptr(cf: *mut ngx_conf_t) -> Self {
        Self(cf)
    }

    /// The pointer that nginx's functions take.
    pub fn as_ptr(self) -> *mut ngx_conf_t {
        self.0
    }

    /// The directive's name and its arguments.
    pub fn args<'a>(self) -> Vec<&'a [u8]> {
        // SAFETY: while a directive is handled, `args` is an array of strings in the
        // configuration's pool.
        unsafe {
            let args = &*(*self.0).args;
            args.as_slice::<ngx_str_t>().iter().map(|arg| string::bytes(*arg)).collect()
        }
    }

    /// The pool that lives as long as the configuration.
    pub fn pool(self) -> Pool {
        // SAFETY: `cf->pool` is the cycle's pool, never null.
        unsafe { Pool::from_ptr((*self.0).pool) }.expect("a configuration has a pool")
    }

    /// The log of the configuration.
    pub fn log(self) -> Log {
        // SAFETY: `cf->log` is never null.
        unsafe { Log::from_ptr((*self.0).log) }.expect("a configuration has a log")
    }

    /// Writes an `[emerg]` line that names the file and line being read.
    pub fn error(self, message: impl Display) -> *mut c_char {
        let message = message.to_string();
        let text = string::borrowed(message.as_bytes());
        // SAFETY: `cf` is valid, and `%V` takes a pointer to a string.
        unsafe {
            ngx_conf_log_error(sys::NGX_LOG_EMERG as ngx_uint_t, self.0, 0, c"%V".as_ptr(), &raw const text);
        }
        CONF_ERROR
    }

    /// Writes an `[emerg]` line about another place: `place` is the result of [`Self::place`]
    /// there.
    pub fn error_at(self, message: impl Display, place: &str) -> *mut c_char {
        self.log().write(Level::Emerg, format!("{message}{place}").as_bytes());
        CONF_ERROR
    }

    /// The place of the directive, in the words that end nginx's errors: ` in FILE:LINE`.
    pub fn place(self) -> String {
        // SAFETY: `conf_file` is null (`nginx -g`) or valid while a directive is handled.
        unsafe {
            let file = (*self.0).conf_file;
            if file.is_null() || (*file).file.fd == sys::NGX_INVALID_FILE {
                return " in command line".to_owned();
            }
            format!(" in {}:{}", String::from_utf8_lossy(string::bytes((*file).file.name)), (*file).line)
        }
    }

    /// Completes a path as nginx does: a relative path starts at its prefix.
    pub fn full_path(self, path: &[u8]) -> Option<PathBuf> {
        let mut name = self.pool().copy(&[path, b"\0"].concat()).ok()?;
        name.len -= 1;
        // SAFETY: `name` is a null-terminated string in the pool; nginx may replace it by a longer
        // one.
        unsafe {
            if sys::ngx_conf_full_name((*self.0).cycle, &raw mut name, 0) != crate::rc::OK {
                return None;
            }
            Some(PathBuf::from(OsStr::from_bytes(string::bytes(name))))
        }
    }

    /// Returns whether the configuration is only tested (`nginx -t`).
    pub fn is_test() -> bool {
        // SAFETY: a plain global of nginx.
        unsafe { sys::ngx_test_config != 0 }
    }

    /// A module's `http` configuration that is being read.
    ///
    /// # Safety
    ///
    /// The parser is inside `http`, and `T` is what the module's `create_main_conf` returns.
    pub unsafe fn main_conf<T>(self, module: *const ngx_module_t) -> *mut T {
        // SAFETY: inside `http`, `cf->ctx` is the `http` context.
        unsafe {
            let ctx: *mut ngx_http_conf_ctx_t = (*self.0).ctx.cast();
            (*(*ctx).main_conf.add((*module).ctx_index)).cast()
        }
    }

    /// A module's configuration for the block that is being read.
    ///
    /// # Safety
    ///
    /// The parser is inside `http`, and `T` is what the module's `create_loc_conf` returns.
    pub unsafe fn loc_conf<T>(self, module: *const ngx_module_t) -> *mut T {
        // SAFETY: inside `http`, `cf->ctx` is the context of the innermost block.
        unsafe {
            let ctx: *mut ngx_http_conf_ctx_t = (*self.0).ctx.cast();
            (*(*ctx).loc_conf.add((*module).ctx_index)).cast()
        }
    }

    /// The kind of block that is being read: `NGX_HTTP_MAIN_CONF` and so on.
    pub fn block(self) -> u32 {
        // SAFETY: `cf` is valid.
        unsafe { (*self.0).cmd_type as u32 }
    }
}
