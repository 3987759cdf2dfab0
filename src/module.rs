//! The three modules of this library, and the tables that nginx looks for in it.
//!
//! There are three, because nginx calls modules in an order and each must have its own place in it.
//! The first has the directives and the phase handlers; it comes before APISIX's
//! `ngx_http_wasm_module`, so that `wasm_vm` is this module's. The second has a header filter that
//! runs behind Lua's: it comes before `ngx_http_lua_module`. The third has the filters; it comes
//! before `ngx_http_copy_filter_module`. If it came earlier, nginx's own filters would overwrite
//! what it does; later, it would get bodies as file buffers.

use std::ffi::{c_char, c_void};
use std::ptr;

use ngx_bindings::conf::{CONF_ERROR, CONF_OK, Conf};
use ngx_bindings::cycle::{self, Cycle, Process};
use ngx_bindings::log::Level;
use ngx_bindings::lua::Lua;
use ngx_bindings::sys::{self, ngx_conf_t, ngx_cycle_t, ngx_http_module_t, ngx_int_t, ngx_module_t, ngx_uint_t};
use ngx_bindings::{rc, slice};

use super::conf::LocConf;
use super::context::live;
use super::guard::guard;
use super::host::{property_variable, queue_events};
use super::native::{chosen_host, filters, phases, unseen};
use super::shared::counters;
use super::worker::{MainConf, announce, deadlines, images, user};
use super::{calls, directives, log, lua, task};

static MODULE_CTX: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(preconfiguration),
    postconfiguration: Some(postconfiguration),
    create_main_conf: Some(create_main_conf),
    init_main_conf: Some(init_main_conf),
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(create_loc_conf),
    merge_loc_conf: Some(merge_loc_conf),
};

/// A module without a configuration of its own.
const FILTERS: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: None,
    postconfiguration: None,
    create_main_conf: None,
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: None,
    merge_loc_conf: None,
};

static LUA_FILTER_MODULE_CTX: ngx_http_module_t =
    ngx_http_module_t { postconfiguration: Some(lua_filter_postconfiguration), ..FILTERS };

static FILTER_MODULE_CTX: ngx_http_module_t =
    ngx_http_module_t { postconfiguration: Some(filter_postconfiguration), ..FILTERS };

/// The module with the directives, the phase handlers and the process hooks.
#[allow(non_upper_case_globals)]
#[cfg_attr(not(test), unsafe(no_mangle))]
static mut ngx_http_proxy_wasm_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const MODULE_CTX).cast_mut().cast(),
    commands: (&raw mut directives::COMMANDS).cast(),
    type_: sys::NGX_HTTP_MODULE as ngx_uint_t,
    init_module: Some(init_module),
    init_process: Some(init_process),
    exit_process: Some(exit_process),
    ..ngx_module_t::default()
};

/// The module with the header filter behind Lua's.
#[allow(non_upper_case_globals)]
static mut ngx_http_proxy_wasm_lua_filter_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const LUA_FILTER_MODULE_CTX).cast_mut().cast(),
    type_: sys::NGX_HTTP_MODULE as ngx_uint_t,
    ..ngx_module_t::default()
};

/// The module with the header filter and the body filter.
#[allow(non_upper_case_globals)]
static mut ngx_http_proxy_wasm_filter_module: ngx_module_t = ngx_module_t {
    ctx: (&raw const FILTER_MODULE_CTX).cast_mut().cast(),
    type_: sys::NGX_HTTP_MODULE as ngx_uint_t,
    ..ngx_module_t::default()
};

/// The tables that `load_module` reads. They are written by hand, because the order needs one entry
/// for each module.
#[cfg(not(test))]
mod exports {
    use super::*;

    /// A table of pointers that C code reads.
    #[repr(transparent)]
    pub struct Table<T, const N: usize>([*const T; N]);
    // SAFETY: nginx reads the tables in one thread.
    unsafe impl<T, const N: usize> Sync for Table<T, N> {}

    #[unsafe(no_mangle)]
    pub static ngx_modules: Table<ngx_module_t, 4> = Table([
        &raw const ngx_http_proxy_wasm_module,
        &raw const ngx_http_proxy_wasm_lua_filter_module,
        &raw const ngx_http_proxy_wasm_filter_module,
        ptr::null(),
    ]);

    #[unsafe(no_mangle)]
    pub static ngx_module_names: Table<c_char, 4> = Table([
        c"ngx_http_proxy_wasm_module".as_ptr(),
        c"ngx_http_proxy_wasm_lua_filter_module".as_ptr(),
        c"ngx_http_proxy_wasm_filter_module".as_ptr(),
        ptr::null(),
    ]);

    /// nginx puts each module before all that stand behind it here. So the first one comes before Lua's,
    /// too, which makes no difference: Lua's handlers run at the end of their phases.
    #[unsafe(no_mangle)]
    pub static ngx_module_order: Table<c_char, 7> = Table([
        c"ngx_http_proxy_wasm_module".as_ptr(),
        c"ngx_http_wasm_module".as_ptr(),
        c"ngx_http_proxy_wasm_lua_filter_module".as_ptr(),
        c"ngx_http_lua_module".as_ptr(),
        c"ngx_http_proxy_wasm_filter_module".as_ptr(),
        c"ngx_http_copy_filter_module".as_ptr(),
        ptr::null(),
    ]);
}

extern "C" fn create_main_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    guard(ptr::null_mut(), || create_conf(cf, MainConf::default()))
}

extern "C" fn create_loc_conf(cf: *mut ngx_conf_t) -> *mut c_void {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    guard(ptr::null_mut(), || create_conf(cf, LocConf::default()))
}

fn create_conf<T>(cf: Conf, conf: T) -> *mut c_void {
    log::init();
    cf.pool().own(conf).map_or(ptr::null_mut(), |conf| (&raw mut *conf).cast())
}

extern "C" fn init_main_conf(cf: *mut ngx_conf_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    // SAFETY: nginx passes what `create_main_conf` answered.
    let main = unsafe { &mut *conf.cast::<MainConf>() };
    guard(CONF_ERROR, || load(cf, main))
}

fn load(cf: Conf, main: &mut MainConf) -> *mut c_char {
    match main.load(cf) {
        Ok(()) => {
            // Set here and not in postconfiguration: the Lua module's postconfiguration, which runs
            // init_by_lua, may come first.
            lua::set_configuration(cf, main);
            CONF_OK
        }
        Err(fault) => cf.error_at(fault.message, &fault.place),
    }
}

extern "C" fn merge_loc_conf(cf: *mut ngx_conf_t, above: *mut c_void, conf: *mut c_void) -> *mut c_char {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    // SAFETY: nginx passes what `create_loc_conf` answered for the level above.
    let above = unsafe { &*above.cast::<LocConf>() };
    // SAFETY: nginx passes what it answered for this level.
    let loc = unsafe { &mut *conf.cast::<LocConf>() };
    guard(CONF_ERROR, || {
        merge(cf, above, loc);
        CONF_OK
    })
}

fn merge(cf: Conf, above: &LocConf, loc: &mut LocConf) {
    let main = cf.main_conf(MainConf::module());
    loc.merge(above, main.attached());
    unseen::remember(cf, main, loc);
}

extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    guard(rc::ERROR, || {
        cf.main_conf(MainConf::module()).variables_of_modules.set(cf.variable_count());
        property_variable::declare(cf).map_or(rc::ERROR, |()| rc::OK)
    })
}

extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    // SAFETY: nginx passes its parser.
    let cf = unsafe { Conf::from_nginx(cf) };
    guard(rc::ERROR, || register(cf))
}

fn register(cf: Conf) -> ngx_int_t {
    let main = cf.main_conf(MainConf::module());
    if main.said.enabled && keep_variables(cf, main).is_none() {
        return rc::ERROR;
    }
    if main.said.enabled {
        chosen_host::register(cf, main);
    }
    slice::find(cf);
    unseen::look_through(cf, main);
    phases::register(cf, main)
}

/// Lets plugins read one value all through a request of the variables that could have another each
/// time: `$request_id`, and those that the configuration declared by `map`, `split_clients`, `js_set`
/// and the like. What nginx evaluates anew by design, it does for plugins, too.
fn keep_variables(cf: Conf, main: &MainConf) -> Option<()> {
    cf.keep_variable(b"request_id")?;
    main.proxy_host.set(cf.index_if_declared(b"proxy_host"));
    cf.keep_variables_after(main.variables_of_modules.get())
}

extern "C" fn lua_filter_postconfiguration(_: *mut ngx_conf_t) -> ngx_int_t {
    guard(rc::ERROR, || {
        filters::register_behind_lua();
        rc::OK
    })
}

extern "C" fn filter_postconfiguration(_: *mut ngx_conf_t) -> ngx_int_t {
    guard(rc::ERROR, || {
        filters::register();
        rc::OK
    })
}

/// Checks the zones and prepares for the workers. nginx has made the zones now, and has not forked
/// yet.
extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes a cycle whose configuration it has read.
    let cycle = unsafe { Cycle::from_nginx(cycle) };
    guard(rc::ERROR, || prepare(cycle))
}

fn prepare(cycle: Cycle) -> ngx_int_t {
    let Some(main) = cycle.main_conf(MainConf::module()).filter(|main| main.said.enabled) else { return rc::OK };
    if let Some(user) = cycle.worker_user() {
        main.prepare_for_workers(user);
    }
    if !user::can_read_directories(cycle, &main.said) {
        return rc::ERROR;
    }
    queue_events::prepare();
    images::prepare();
    if main.shared.stores().is_none() {
        tracing::error!("proxy_wasm: the shared zones cannot be used: they hold something else");
        return rc::ERROR;
    }
    if let Some(log) = cycle.log() {
        // SAFETY: the cycle's Lua runs in this thread; the VM is used here only.
        let lua = unsafe { Lua::of(cycle) };
        announce::started(log, main);
        if let Some(problem) = main.installation.check(lua, main.said.is_for_lua()) {
            log.write(Level::Error, problem.as_bytes());
        }
    }
    rc::OK
}

/// Starts the VMs of attached plugins with the worker, so that ticks run, and a refused
/// configuration is logged, before any request comes.
extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes a cycle whose configuration it has read.
    let cycle = unsafe { Cycle::from_nginx(cycle) };
    guard(rc::OK, || {
        start(cycle);
        rc::OK
    })
}

fn start(cycle: Cycle) {
    log::init();
    cycle::set_serving();
    let main = cycle.main_conf(MainConf::module());
    lua::set_current(main);
    let Some(main) = main.filter(|_| matches!(cycle::process(), Process::Worker | Process::Single)) else { return };
    if let Some(stores) = main.shared.stores() {
        counters::begin_worker(stores, cycle.workers());
    }
    if let Some((runtime, stores)) = main.runtime().zip(main.shared.stores()) {
        runtime.loads.count_inherited(stores);
        deadlines::resume(&runtime.engine);
    }
    if !main.attached().is_empty() {
        main.contexts().start(&main.said.attachments);
    }
}

extern "C" fn exit_process(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx passes the cycle that the process serves.
    let cycle = unsafe { Cycle::from_nginx(cycle) };
    guard((), || stop(cycle));
}

fn stop(cycle: Cycle) {
    live::finish_all();
    // SAFETY: the requests, which use the configuration, are over.
    if let Some(main) = unsafe { cycle.main_conf_mut(MainConf::module()) } {
        drop(main.take_contexts());
    }
    // Last, because nginx next looks for connections that were left open.
    calls::stop();
    task::shut_down();
    queue_events::stop();
}
