//! Plain variables of nginx.

use nginx_sys::{self as sys, ngx_cycle_t, ngx_uint_t, sig_atomic_t};

macro_rules! globals {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $global:ident;)+) => {
        $(
            $(#[$doc])*
            pub(crate) fn $name() -> $type {
                // SAFETY: only this thread changes nginx's variables, or a signal handler those that
                // are one word.
                unsafe { sys::$global }
            }
        )+
    };
}

globals! {
    /// The cycle that is running; null before the first one.
    cycle: *mut ngx_cycle_t = ngx_cycle;
    /// The flags of the event method.
    event_flags: ngx_uint_t = ngx_event_flags;
    /// Whether the worker was told to quit.
    exiting: ngx_uint_t = ngx_exiting;
    /// The number of modules of `http`.
    http_max_module: ngx_uint_t = ngx_http_max_module;
    /// The size of a page, as a power of two.
    pagesize_shift: ngx_uint_t = ngx_pagesize_shift;
    /// The kind of this process.
    process: ngx_uint_t = ngx_process;
    /// Whether the worker was told to end at once.
    terminate: sig_atomic_t = ngx_terminate;
    /// Whether the configuration is only tested.
    test_config: ngx_uint_t = ngx_test_config;
    /// The number of this worker.
    worker: ngx_uint_t = ngx_worker;
}
