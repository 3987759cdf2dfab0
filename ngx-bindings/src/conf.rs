//! `ngx_conf_file.h`: the directive that is being read.

use std::ffi::{OsStr, c_char};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use nginx_sys::{
    self as sys, ngx_conf_log_error, ngx_conf_t, ngx_cycle_t, ngx_hash_key_t, ngx_http_conf_ctx_t, ngx_http_variable_t,
    ngx_str_t, ngx_uint_t,
};

use crate::live::Live;
use crate::log::Level;
use crate::modules::HttpModule;
use crate::variables::VariableIndex;
use crate::{Log, Pool, array, globals, modules, string, variables};

/// The result of a directive handler on success.
pub const CONF_OK: *mut c_char = ptr::null_mut();
/// The result of a directive handler that has logged an error.
pub const CONF_ERROR: *mut c_char = usize::MAX as *mut c_char;

/// The state of nginx's configuration parser inside `http`, while nginx calls a handler of this
/// module.
#[derive(Clone, Copy)]
pub struct Conf<'c>(Live<'c, ngx_conf_t>);

impl<'c> Conf<'c> {
    /// # Safety
    ///
    /// `cf` is what nginx passed to the handler of a directive, or to a hook, of a module of `http`,
    /// which `'c` does not outlive.
    pub unsafe fn from_nginx(cf: *mut ngx_conf_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(cf) })
    }

    /// The pointer that nginx's functions take.
    pub fn as_ptr(self) -> *mut ngx_conf_t {
        self.0.as_ptr()
    }

    /// nginx's structure, to read it as [`Live`] says.
    fn raw(self) -> &'c ngx_conf_t {
        self.0.get()
    }

    /// The cycle that is being made.
    pub(crate) fn cycle(self) -> &'c ngx_cycle_t {
        // SAFETY: a parser has a cycle.
        unsafe { &*self.raw().cycle }
    }

    /// The machine's name.
    pub fn hostname(self) -> &'c [u8] {
        self.cycle().hostname.as_bytes()
    }

    /// The directive's name and its arguments.
    pub fn args(self) -> Vec<&'c [u8]> {
        // SAFETY: while a directive is handled, its words are an array of strings.
        let args: &[ngx_str_t] = unsafe { array::elements(self.raw().args) };
        args.iter().map(ngx_str_t::as_bytes).collect()
    }

    /// The pool that lives as long as the configuration.
    pub fn pool(self) -> Pool<'c> {
        // SAFETY: `cf->pool` is the cycle's pool, never null.
        unsafe { Pool::from_nginx(self.raw().pool) }
    }

    /// The log of the configuration.
    pub fn log(self) -> Log<'c> {
        // SAFETY: `cf->log` is never null.
        unsafe { Log::from_nginx(self.raw().log) }
    }

    /// Writes an `[emerg]` line that names the file and line being read.
    pub fn error(self, message: impl Display) -> *mut c_char {
        let message = message.to_string();
        let text = string::borrowed(message.as_bytes());
        // SAFETY: `cf` is valid, and `%V` takes a pointer to a string.
        unsafe {
            ngx_conf_log_error(sys::NGX_LOG_EMERG as ngx_uint_t, self.as_ptr(), 0, c"%V".as_ptr(), &raw const text);
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
        // SAFETY: null (`nginx -g`), or valid while a directive is handled.
        let file = unsafe { self.raw().conf_file.as_ref() };
        let Some(file) = file.filter(|file| file.file.fd != sys::NGX_INVALID_FILE) else {
            return " in command line".to_owned();
        };
        format!(" in {}:{}", String::from_utf8_lossy(file.file.name.as_bytes()), file.line)
    }

    /// Completes a path as nginx does: a relative path starts at its prefix.
    pub fn full_path(self, path: &[u8]) -> Option<PathBuf> {
        let mut name = self.pool().copy_terminated(path).ok()?;
        // SAFETY: the name is a null-terminated string in the pool; nginx may replace it by a longer
        // one there.
        if unsafe { sys::ngx_conf_full_name(self.raw().cycle, &raw mut name, 0) } != crate::rc::OK {
            return None;
        }
        Some(PathBuf::from(OsStr::from_bytes(name.as_bytes())))
    }

    /// Declares all variables whose names begin with `prefix`. Their values are evaluated each time.
    pub fn add_prefix_variable(self, prefix: &[u8], handler: variables::Handler) -> Option<()> {
        let flags = sys::NGX_HTTP_VAR_PREFIX | sys::NGX_HTTP_VAR_NOCACHEABLE;
        let mut prefix = self.pool().copy(prefix).ok()?;
        // SAFETY: `cf` is valid while `http` is being read; the name lives in the configuration's
        // pool.
        let variable = unsafe { sys::ngx_http_add_variable(self.as_ptr(), &raw mut prefix, flags as ngx_uint_t) };
        // SAFETY: nginx returns null, or a variable of the configuration.
        let variable = unsafe { variable.as_mut() }?;
        let place = (&raw mut variable.get_handler).cast::<Option<variables::Handler>>();
        // SAFETY: to a handler, nginx's pointer to a request is a handle, and the data of a variable
        // that was declared by a prefix is the address of its name.
        unsafe { place.write(Some(handler)) };
        Some(())
    }

    /// The number of variables that there are so far.
    pub fn variable_count(self) -> usize {
        self.declared_variables().len()
    }

    /// Makes nginx keep the values of variables for the rest of a request once they were evaluated:
    /// of those that were declared after the first `count`, unless a variable itself forbids it.
    pub fn keep_variables_after(self, count: usize) -> Option<()> {
        let declared: Vec<_> = self.declared_variables().get(count..)?.iter().map(|key| (key.key, key.value)).collect();
        for (name, variable) in declared {
            // SAFETY: the table is of variables, which the configuration's pool keeps.
            let flags = unsafe { (*variable.cast::<ngx_http_variable_t>()).flags };
            if flags as u32 & sys::NGX_HTTP_VAR_NOCACHEABLE == 0 {
                self.keep_variable(name.as_bytes())?;
            }
        }
        Some(())
    }

    /// The variables that modules and directives have declared, except those by a prefix. Another
    /// declaration may move the table.
    fn declared_variables(&self) -> &[ngx_hash_key_t] {
        // SAFETY: nginx has the table while `http` is being read.
        let table = unsafe { &*self.main_conf(modules::http_core()).variables_keys };
        // SAFETY: its keys are an array in the configuration's pool.
        unsafe { array::elements(&raw const table.keys) }
    }

    /// Makes nginx keep a variable's value for the rest of a request once it was evaluated, unless
    /// the variable itself forbids it. nginx does so for the variables that a configuration names.
    pub fn keep_variable(self, name: &[u8]) -> Option<()> {
        self.index_variable(name).map(drop)
    }

    /// Does the same as [`Self::keep_variable`] for a variable that is there, and returns its index.
    pub fn index_if_declared(self, name: &[u8]) -> Option<VariableIndex> {
        let is_declared = self.declared_variables().iter().any(|key| key.key.as_bytes() == name);
        if is_declared { self.index_variable(name) } else { None }
    }

    fn index_variable(self, name: &[u8]) -> Option<VariableIndex> {
        let mut name = self.pool().copy(name).ok()?;
        // SAFETY: `cf` is valid while `http` is being read; the name lives in the configuration's
        // pool.
        let index = unsafe { sys::ngx_http_get_variable_index(self.as_ptr(), &raw mut name) };
        (index != crate::rc::ERROR).then_some(VariableIndex(index as ngx_uint_t))
    }

    /// Returns whether the configuration is only tested (`nginx -t`).
    pub fn is_test() -> bool {
        globals::test_config() != 0
    }

    /// A module's `http` configuration that is being read.
    pub fn main_conf<M, L, C>(self, module: HttpModule<M, L, C>) -> &'c M {
        let () = HttpModule::<M, L, C>::HAS_MAIN;
        // SAFETY: a context of `http` has an entry for each of its modules.
        unsafe { module.entry(self.http_ctx().main_conf) }
    }

    /// Does the same as [`Self::main_conf`], to change it.
    ///
    /// # Safety
    ///
    /// Nothing else refers to the configuration meanwhile.
    pub unsafe fn main_conf_mut<M, L, C>(self, module: HttpModule<M, L, C>) -> &'c mut M {
        let () = HttpModule::<M, L, C>::HAS_MAIN;
        // SAFETY: as above, and by this function's contract.
        unsafe { module.entry(self.http_ctx().main_conf) }
    }

    /// The context of the innermost block of `http`.
    pub(crate) fn http_ctx(self) -> &'c ngx_http_conf_ctx_t {
        // SAFETY: inside `http`, that is what `cf->ctx` is.
        unsafe { &*self.raw().ctx.cast() }
    }

    /// The kind of block that is being read: `NGX_HTTP_MAIN_CONF` and so on.
    pub fn block(self) -> u32 {
        self.raw().cmd_type as u32
    }
}
