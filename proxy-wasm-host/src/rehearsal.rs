//! A rehearsal: whether plugins start and accept their configurations.
//!
//! nginx reads its configuration in a process that must not run guests: it may be root, and it forks
//! the workers. So a child process starts the plugins, on a host of plain structs, and ends. There,
//! calls are accepted and never answered, ticks do not come, and shared data and queues are the
//! child's own and empty. What the plugins make that host keep is bounded by the child's memory.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::abi::LogLevel;
use super::config::units::Size;
use super::error::single_spaced;
use super::failure::Failure;
use super::host::Host;
use super::local::{self, LocalHost};
use super::plugin::Plugin;
use crate::wasm::compiler::child::{Child, End, Purpose};
use crate::wasm::{CompileLimits, Engine};

/// The child's exit code when all have started.
const STARTED: i32 = 0;
/// The child's exit code when one has not.
const FAILED: i32 = 1;

/// What the child writes before it starts a plugin context.
const NEXT: u8 = 0;

/// The lowest level of a plugin's messages of which one is told. Others are not kept.
const TOLD: LogLevel = LogLevel::Warn;

/// How long the child may take beyond the timeouts of the plugins.
const SPARE_TIME: Duration = Duration::from_secs(10);

/// The longest that a plugin without a timeout may take.
const LONGEST: Duration = Duration::from_secs(600);

/// How much memory the child may take besides that of the plugins' instances: of one that starts,
/// and of one in which the root id is looked for.
const MEMORY: usize = 512 << 20;

/// What Rust's library says when it aborts.
const OUT_OF_MEMORY: &str = "memory allocation of";

/// The most bytes of what a plugin logged that are told.
const LOGGED: usize = 300;

/// A plugin context that did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    /// Its index.
    pub index: usize,
    /// The reason, in words.
    pub reason: String,
}

/// Starts plugin contexts in one instance of their VM: each is a plugin of the VM with a
/// configuration. `keep_time` starts the clock of the engine, in the child.
///
/// # Errors
/// The first one that does not start.
pub fn start<H: Host>(
    vm: &Plugin<H>,
    contexts: &[(&Plugin<H>, Arc<[u8]>)],
    keep_time: fn(&Engine) -> io::Result<()>,
) -> Result<(), NotStarted> {
    start_within(vm, contexts, keep_time, MEMORY.saturating_add(vm.options().memory_limit.saturating_mul(2)))
}

/// Does so in as much memory.
fn start_within<H: Host>(
    vm: &Plugin<H>,
    contexts: &[(&Plugin<H>, Arc<[u8]>)],
    keep_time: fn(&Engine) -> io::Result<()>,
    memory: usize,
) -> Result<(), NotStarted> {
    let no_child = |error: &dyn std::fmt::Display| NotStarted {
        index: 0,
        reason: format!("no process can be started to try it: {error}"),
    };
    let file = memfd_create(c"proxy-wasm-rehearsal", MFdFlags::MFD_CLOEXEC).map_err(|error| no_child(&error))?;
    let mut file = File::from(file);
    let time = time(vm, contexts.len());
    let limits = CompileLimits { time, memory };
    let child = Child::start_for(Purpose::Run, &file, limits, |file, _| {
        keep_time(vm.engine())?;
        run(vm, contexts, file)
    });
    let end = child.and_then(|child| child.wait(time)).map_err(|error| no_child(&error))?;
    let (begun, said) = said(&mut file);
    let reason = match end {
        End::Code(STARTED) => return Ok(()),
        End::Code(FAILED) => said,
        End::TimedOut => "it takes too long".to_owned(),
        End::Signal(signal) => format!("the process that tried it was ended by {signal}"),
        End::Code(_) if said.contains(OUT_OF_MEMORY) => format!("it makes its host take more than {}", Size(memory)),
        End::Code(_) | End::Unknown => format!("the process that tried it failed: {said}"),
    };
    Err(NotStarted { index: begun.saturating_sub(1), reason })
}

/// The time for the start functions, `proxy_on_vm_start` and `proxy_on_configure`, each of which has
/// the plugin's own timeout.
fn time<H: Host>(vm: &Plugin<H>, contexts: usize) -> Duration {
    let each = vm.options().start_timeout.unwrap_or(LONGEST);
    each.saturating_mul(u32::try_from(2 * contexts + 1).unwrap_or(u32::MAX)).saturating_add(SPARE_TIME)
}

/// The work of the child.
fn run<H: Host>(vm: &Plugin<H>, contexts: &[(&Plugin<H>, Arc<[u8]>)], file: &mut File) -> io::Result<i32> {
    // What happens is told once, by the parent.
    tracing::subscriber::with_default(tracing::subscriber::NoSubscriber::default(), || {
        let here =
            |plugin: &Plugin<H>| plugin.to_try::<LocalHost>().map_err(|error| io::Error::other(error.to_string()));
        let (host, vm) = local::vm(here(vm)?);
        host.worker().log_level = TOLD;
        // The contexts live until all have started.
        let mut started = Vec::new();
        for (plugin, configuration) in contexts {
            file.write_all(&[NEXT])?;
            let context = vm.plugin_context_of(here(plugin)?, Arc::clone(configuration));
            if let Err(failure) = context.start() {
                file.write_all(words(&failure, &host).as_bytes())?;
                return Ok(FAILED);
            }
            started.push(context);
        }
        Ok(STARTED)
    })
}

/// The failure, and what the plugin logged last about it.
fn words(failure: &Failure, host: &LocalHost) -> String {
    let worker = host.worker();
    match worker.log.iter().rev().find(|(level, _)| *level >= TOLD) {
        Some((_, line)) => {
            // nginx writes it to the operator's terminal, too.
            let line = single_spaced(line).replace(char::is_control, "\u{fffd}");
            format!("{failure}; it logged: {}", &line[..line.floor_char_boundary(LOGGED)])
        }
        None => failure.to_string(),
    }
}

/// How many contexts the child had begun to start, and what it said after that.
fn said(file: &mut File) -> (usize, String) {
    let mut bytes = Vec::new();
    // A short text from a child that has ended. If it cannot be read, there is no text.
    let _ = file.rewind().and_then(|()| file.take(1 << 16).read_to_end(&mut bytes));
    let begun = bytes.iter().take_while(|&&byte| byte == NEXT).count();
    (begun, single_spaced(&String::from_utf8_lossy(&bytes[begun..])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::PluginOptions;

    /// A plugin whose `proxy_on_configure` has this body.
    fn configure(body: &str, options: PluginOptions) -> Arc<Plugin<LocalHost>> {
        let wat = format!(
            r#"(module
                (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
                (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
                (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
                (import "env" "proxy_set_shared_data" (func $set (param i32 i32 i32 i32 i32) (result i32)))
                (memory (export "memory") 1)
                (data (i32.const 0) "no such field")
                (data (i32.const 20) "\1b[2Jx")
                (func $now (result i64) (drop (call $time (i32.const 32))) (i64.load (i32.const 32)))
                (func $keep
                    (i32.store (i32.const 40) (i32.add (i32.load (i32.const 40)) (i32.const 1)))
                    (drop (call $set (i32.const 40) (i32.const 4) (i32.const 0) (i32.const 65536) (i32.const 0))))
                (func (export "proxy_abi_version_0_2_1"))
                (func (export "proxy_on_configure") (param i32 i32) (result i32) {body}))"#
        );
        local::plugin(wat.as_bytes(), options).unwrap()
    }

    fn tried(body: &str, configurations: &[&[u8]]) -> Result<(), NotStarted> {
        let plugin = configure(body, PluginOptions::default());
        let contexts: Vec<_> = configurations.iter().map(|&bytes| (&*plugin, Arc::from(bytes))).collect();
        start(&plugin, &contexts, Engine::start_ticker)
    }

    #[test]
    fn a_plugin_that_starts_is_accepted() {
        assert_eq!(tried("(call $tick (i32.const 10)) (drop) (i32.const 1)", &[b"a", b"b"]), Ok(()));
    }

    #[test]
    fn the_context_that_does_not_start_is_named_with_its_reason() {
        // Configurations of more than one byte are refused.
        let refuses =
            "(drop (call $log (i32.const 4) (i32.const 0) (i32.const 13))) (i32.lt_u (local.get 1) (i32.const 2))";
        let reason = "proxy_on_configure refused the configuration; it logged: no such field".to_owned();
        assert_eq!(tried(refuses, &[b"a", b"bb"]), Err(NotStarted { index: 1, reason }));
    }

    #[test]
    fn the_clock_goes() {
        let now = r#"(if (i64.lt_u (call $now) (i64.const 1700000000000000000)) (then unreachable)) (i32.const 1)"#;
        assert_eq!(tried(now, &[b""]), Ok(()));
    }

    #[test]
    fn what_a_plugin_logs_moves_no_cursor() {
        let clears = "(drop (call $log (i32.const 4) (i32.const 20) (i32.const 5))) (i32.const 0)";
        let reason = tried(clears, &[b""]).unwrap_err().reason;
        assert!(reason.ends_with("it logged: \u{fffd}[2Jx"), "{reason}");
    }

    #[test]
    fn the_host_of_a_plugin_takes_no_more_than_it_may() {
        for flood in ["(drop (call $log (i32.const 4) (i32.const 0) (i32.const 65536)))", "(call $keep)"] {
            let plugin = configure(&format!("(loop {flood} (br 0)) (i32.const 1)"), PluginOptions::default());
            let tried = start_within(&plugin, &[(&plugin, Arc::from(&b""[..]))], Engine::start_ticker, 64 << 20);
            assert_eq!(tried.unwrap_err().reason, "it makes its host take more than 64 MB", "{flood}");
        }
    }

    #[test]
    fn a_trap_and_a_loop_are_reasons() {
        let trapped = tried("unreachable", &[b""]).unwrap_err();
        assert!(trapped.reason.contains("unreachable"), "{}", trapped.reason);
        let options = PluginOptions { start_timeout: Some(Duration::from_millis(100)), ..PluginOptions::default() };
        let plugin = configure("(loop (br 0)) (i32.const 1)", options);
        let looped = start(&plugin, &[(&plugin, Arc::from(&b""[..]))], Engine::start_ticker).unwrap_err();
        assert_eq!(looped.reason, "it ran past its timeout");
    }
}
