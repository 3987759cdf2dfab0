//! Writes the log lines at nginx's start: the versions, the plugins, and how long compiling them
//! took.

use std::fmt;
use std::time::Duration;

use ngx_bindings::cycle;
use ngx_bindings::log::{Level, Log};
use proxy_wasm_host::config::units::{Seconds, Size};
use proxy_wasm_host::wasm::Module;

use super::MainConf;
use crate::identity::{VERSION, WASMTIME_VERSION};

/// Logs the versions and the plugins, once per configuration.
pub fn started(log: Log, main: &MainConf) {
    let names: Vec<_> = main.plugins().iter().map(|declared| format!("\"{}\"", declared.plugin.name())).collect();
    let plugins = match names.len() {
        0 => "no plugins declared".to_owned(),
        1 => format!("1 plugin: {}", names[0]),
        count => format!("{count} plugins: {}", names.join(", ")),
    };
    log.print(Level::Notice, format_args!("proxy_wasm {VERSION}, wasmtime {WASMTIME_VERSION}, {plugins}"));
}

/// Announces a compilation, which may take long.
pub fn compiling(plugin: &str, size: usize) {
    notice(Level::Notice, format_args!("compiling plugin \"{plugin}\" ({}) ...", Size(size)));
}

/// Logs how long it took to get a plugin's code, and where the code came from. Logs nothing if
/// another plugin of the same content had it already.
pub fn loaded(plugin: &str, module: &Module, compiled: bool, took: Duration) {
    let took = Seconds(took.as_secs_f64());
    if compiled {
        notice(Level::Notice, format_args!("plugin \"{plugin}\" compiled in {took}"));
    } else if module.from_cache() {
        // Info in workers, because on the Lua path every worker loads every plugin.
        let level = if cycle::serves() { Level::Info } else { Level::Notice };
        notice(level, format_args!("plugin \"{plugin}\" ({}) from the cache in {took}", Size(module.size())));
    }
}

fn notice(level: Level, line: fmt::Arguments<'_>) {
    cycle::with_log(|log| log.print(level, line));
}
