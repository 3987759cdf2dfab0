//! `ngx_module.h`, `ngx_conf_file.h`: other modules, and the values of their directives in a
//! location.

use std::ffi::{CStr, c_void};
use std::marker::PhantomData;

use nginx_sys::{
    self as sys, ngx_command_t, ngx_cycle_t, ngx_flag_t, ngx_http_core_loc_conf_t, ngx_http_core_main_conf_t,
    ngx_module_t, ngx_str_t,
};

use crate::conf::Conf;

/// A text begins with its length, so it can be read as a size is; and so can a flag. None of them is
/// negative, once nginx has merged a location's configuration.
const _: () = assert!(
    std::mem::offset_of!(ngx_str_t, len) == 0
        && size_of::<ngx_flag_t>() == size_of::<isize>()
        && size_of::<usize>() == size_of::<isize>()
);

/// A module of `http`, and the types of what it has: a configuration of `http`, one of each
/// `location`, and a context in a request. `()` stands for what is not asked for.
pub struct HttpModule<Main = (), Loc = (), Ctx = ()> {
    module: *const ngx_module_t,
    has: PhantomData<(Main, Loc, Ctx)>,
}

impl<Main, Loc, Ctx> Clone for HttpModule<Main, Loc, Ctx> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<Main, Loc, Ctx> Copy for HttpModule<Main, Loc, Ctx> {}

impl<Main, Loc, Ctx> HttpModule<Main, Loc, Ctx> {
    /// # Safety
    ///
    /// nginx has loaded the module. Its `create_main_conf` and `create_loc_conf` return what these
    /// types say, valid until the cycle ends; its context in a request is null, or valid as long as
    /// the request.
    #[inline]
    pub const unsafe fn new(module: *const ngx_module_t) -> Self {
        Self { module, has: PhantomData }
    }

    /// Fails to compile for a module that does not say what its configuration of `http` is.
    pub(crate) const HAS_MAIN: () = assert!(size_of::<Main>() > 0);
    /// The same for its configuration of a location.
    pub(crate) const HAS_LOC: () = assert!(size_of::<Loc>() > 0);
    /// The same for its context in a request.
    pub(crate) const HAS_CTX: () = assert!(size_of::<Ctx>() > 0);

    /// The pointer that nginx's functions take.
    pub fn as_ptr(self) -> *const ngx_module_t {
        self.module
    }

    /// The module's index among those of `http`.
    #[inline]
    pub(crate) fn index(self) -> usize {
        // SAFETY: nginx has loaded the module.
        unsafe { (*self.module).ctx_index as usize }
    }

    /// The module's entry in an array that has one for each module of `http`.
    ///
    /// # Safety
    ///
    /// `entries` is such an array, and `P` the kind of pointer that this module's entry is.
    #[inline]
    pub(crate) unsafe fn entry<P>(self, entries: *mut *mut c_void) -> P {
        const { assert!(size_of::<P>() == size_of::<*mut c_void>()) };
        // SAFETY: by this function's contract.
        unsafe { entries.cast::<P>().wrapping_add(self.index()).read() }
    }
}

/// nginx's core module of `http`.
pub(crate) fn http_core() -> HttpModule<ngx_http_core_main_conf_t, ngx_http_core_loc_conf_t> {
    let module = &raw const sys::ngx_http_core_module;
    // SAFETY: the module is linked in, and these are its types.
    unsafe { HttpModule::new(module) }
}

/// Finds a module of the configuration that is being read.
pub(crate) fn find<'c>(cf: Conf<'c>, name: &CStr) -> Option<&'c ngx_module_t> {
    find_among(cf.cycle(), name)
}

/// Finds a module of a cycle by its name.
pub(crate) fn find_among<'c>(cycle: &'c ngx_cycle_t, name: &CStr) -> Option<&'c ngx_module_t> {
    (0..)
        // SAFETY: a cycle's modules are an array that ends with null.
        .map_while(|i| unsafe { *cycle.modules.cast::<Option<&ngx_module_t>>().wrapping_add(i) })
        // SAFETY: nginx gives a name, which ends with a zero, to each module of a cycle.
        .find(|module| unsafe { CStr::from_ptr(module.name.cast()) } == name)
}

/// The configurations of one location, one for each module, while nginx reads the configuration.
#[derive(Clone, Copy)]
pub struct Location<'c>(*mut *mut c_void, PhantomData<&'c c_void>);

/// A location that is kept until nginx has read all of `http`.
#[derive(Clone, Copy, Debug)]
pub struct StoredLocation(*mut *mut c_void);

impl StoredLocation {
    /// The location, for as long as nginx reads the configuration.
    ///
    /// # Safety
    ///
    /// The location belongs to the configuration that is being read.
    pub unsafe fn lend<'c>(self, _: Conf<'c>) -> Location<'c> {
        Location(self.0, PhantomData)
    }
}

impl<'c> Location<'c> {
    /// The configurations of the location that is being merged.
    pub fn merged(cf: Conf<'c>) -> Self {
        Self(cf.http_ctx().loc_conf, PhantomData)
    }

    /// The location, to be kept.
    pub fn store(self) -> StoredLocation {
        StoredLocation(self.0)
    }

    /// Whether a handler of the location's own answers its requests.
    pub(crate) fn has_handler(self) -> bool {
        self.conf(http_core()).handler.is_some()
    }

    /// Whether a module that passes requests on has servers in this location, without variables.
    pub(crate) fn names_servers(self, module: HttpModule) -> bool {
        // SAFETY: a location has a configuration of each module that has some, and that of such a
        // module begins with a pointer to its servers.
        let conf: *const *const c_void = unsafe { module.entry(self.0) };
        // SAFETY: as above.
        unsafe { conf.as_ref() }.is_some_and(|servers| !servers.is_null())
    }

    /// A module's configuration.
    pub fn conf<M, L, C>(self, module: HttpModule<M, L, C>) -> &'c L {
        let () = HttpModule::<M, L, C>::HAS_LOC;
        // SAFETY: a location has a configuration of each module.
        unsafe { module.entry(self.0) }
    }
}

/// A directive of another module whose value nginx itself stores: a text, a size, or `on` and
/// `off`.
#[derive(Clone, Copy)]
pub struct Directive {
    module: HttpModule,
    offset: usize,
}

/// Finds a directive of a module.
fn command<'c>(module: &ngx_module_t, name: &str) -> Option<&'c ngx_command_t> {
    let first: *const ngx_command_t = module.commands;
    (0..)
        // SAFETY: null, or an array that ends with an empty name.
        .map_while(|i| unsafe { first.wrapping_add(i).as_ref() })
        .take_while(|command| command.name.len > 0)
        .find(|command| command.name.as_bytes() == name.as_bytes())
}

/// A directive of another module whose value nginx stores as the number that a name stands for.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    module: HttpModule,
    offset: usize,
}

impl Number {
    /// Finds the directive, if nginx has the module and the value is of that kind.
    pub(crate) fn find(cf: Conf, module: &CStr, name: &str) -> Option<Self> {
        let module = find(cf, module)?;
        let command = command(module, name)?;
        let is_number = command.set? as usize == sys::ngx_conf_set_enum_slot as *const () as usize;
        // SAFETY: a module of the cycle, whose configuration has bytes.
        let module = unsafe { HttpModule::new(module) };
        is_number.then_some(Self { module, offset: command.offset as usize })
    }

    /// The value in a location whose configuration has been merged; 0 without one.
    pub(crate) fn of(self, location: Location) -> usize {
        // SAFETY: a location has a configuration of each module that has some.
        let conf: *const u8 = unsafe { self.module.entry(location.0) };
        if conf.is_null() {
            return 0;
        }
        // SAFETY: nginx's own setter stores a number of that size at that offset.
        unsafe { *conf.wrapping_add(self.offset).cast::<usize>() }
    }
}

impl Directive {
    /// Finds the directive, if nginx has the module and the value is of one of those kinds.
    pub fn find(cf: Conf, module: &CStr, name: &str) -> Option<Self> {
        let module = find(cf, module)?;
        let command = command(module, name)?;
        let set = command.set? as usize;
        let is_flag = set == sys::ngx_conf_set_flag_slot as *const () as usize;
        let is_text = set == sys::ngx_conf_set_str_slot as *const () as usize;
        let is_size = set == sys::ngx_conf_set_size_slot as *const () as usize;
        // SAFETY: a module of the cycle, whose configuration has bytes.
        let module = unsafe { HttpModule::new(module) };
        (is_flag || is_text || is_size).then_some(Self { module, offset: command.offset as usize })
    }

    /// Returns whether the directive is set, or on, in a location whose configuration has been
    /// merged.
    pub fn is_in_force(self, location: Location) -> bool {
        // SAFETY: a location has a configuration of each module that has some.
        let conf: *const u8 = unsafe { self.module.entry(location.0) };
        if conf.is_null() {
            return false;
        }
        // SAFETY: nginx's own setter stores a flag or a size at that offset in the configuration, or
        // a text, which begins with its length.
        unsafe { *conf.wrapping_add(self.offset).cast::<isize>() > 0 }
    }
}
