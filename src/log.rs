//! Sends `tracing` events to nginx's error log, and maps the log levels.
//!
//! The library's own events concern the worker, so they go to the cycle's log. Lines that a request
//! causes are written by `host`, to that request's log.

use std::fmt::{self, Write};
use std::sync::Once;

use ngx_bindings::cycle;
use ngx_bindings::log::Level;
use proxy_wasm_host::abi::LogLevel;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber, span};

/// Returns nginx's level for a plugin's message.
pub fn nginx_level(level: LogLevel) -> Level {
    match level {
        LogLevel::Critical => Level::Emerg,
        LogLevel::Error => Level::Error,
        LogLevel::Warn => Level::Warn,
        LogLevel::Info => Level::Info,
        LogLevel::Debug | LogLevel::Trace => Level::Debug,
    }
}

/// Returns the lowest level at which a plugin's messages are written, given nginx's level.
pub fn proxy_wasm_level(log_level: usize) -> LogLevel {
    match log_level {
        level if level >= Level::Debug as usize => LogLevel::Trace,
        level if level >= Level::Info as usize => LogLevel::Info,
        level if level >= Level::Warn as usize => LogLevel::Warn,
        level if level >= Level::Error as usize => LogLevel::Error,
        _ => LogLevel::Critical,
    }
}

/// Sends `tracing` to nginx's log. Each call also adopts the level that the log has now.
pub fn init() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only if the process has a subscriber already, which then stays in use.
        let _ = tracing::subscriber::set_global_default(NginxLog);
    });
    tracing::callsite::rebuild_interest_cache();
}

struct NginxLog;

impl Subscriber for NginxLog {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Spans are not logged, so they are switched off.
        if metadata.is_event() { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && cycle::with_log(|log| log.enabled(level_of(metadata.level()))).unwrap_or(false)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let level = cycle::with_log(|log| log.level()).unwrap_or(Level::Error as usize);
        Some(match proxy_wasm_level(level) {
            LogLevel::Trace | LogLevel::Debug => LevelFilter::DEBUG,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Error | LogLevel::Critical => LevelFilter::ERROR,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        cycle::with_log(|log| log.write(level_of(event.metadata().level()), line.0.as_bytes()));
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn level_of(level: &tracing::Level) -> Level {
    match *level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG | tracing::Level::TRACE => Level::Debug,
    }
}

/// The text of an event: its message, then its fields.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
