//! What the error log is told when nginx starts: which versions these are, and which plugins, and how long compiling them takes.

use std::fmt;
use std::time::Duration;

use ngx_bindings::cycle;
use ngx_bindings::log::{Level, Log};
use proxy_wasm_host::config::units::{Seconds, Size};
use proxy_wasm_host::wasm::Module;

use super::MainConf;
use crate::identity::{VERSION, WASMTIME_VERSION};

/// Versions and plugins, once per configuration.
pub fn started(log: Log, main: &MainConf) {
    let names: Vec<_> = main.plugins().iter().map(|declared| format!("\"{}\"", declared.plugin.name())).collect();
    let plugins = match names.len() {
        0 => "no plugins declared".to_owned(),
        1 => format!("1 plugin: {}", names[0]),
        count => format!("{count} plugins: {}", names.join(", ")),
    };
    log.print(Level::Notice, format_args!("proxy_wasm {VERSION}, wasmtime {WASMTIME_VERSION}, {plugins}"));
}

/// What comes may take long.
pub fn compiling(plugin: &str, size: usize) {
    notice(Level::Notice, format_args!("compiling plugin \"{plugin}\" ({}) ...", Size(size)));
}

/// How long it took to get a plugin's code, and where it came from; nothing where another plugin of the same content had it.
pub fn loaded(plugin: &str, module: &Module, compiled: bool, took: Duration) {
    let took = Seconds(took.as_secs_f64());
    if compiled {
        notice(Level::Notice, format_args!("plugin \"{plugin}\" compiled in {took}"));
    } else if module.from_cache() {
        // On the Lua path every worker loads every plugin.
        let level = if cycle::serves() { Level::Info } else { Level::Notice };
        notice(level, format_args!("plugin \"{plugin}\" ({}) from the cache in {took}", Size(module.size())));
    }
}

fn notice(level: Level, line: fmt::Arguments<'_>) {
    if let Some(log) = cycle::log() {
        log.print(level, line);
    }
}
