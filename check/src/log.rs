//! Prints the library's log lines to standard output: warnings and errors, as nginx would have them
//! in its error log.
//!
//! The lines are kept until the plugin's own lines have been printed, because they refer to those.

use std::fmt::{Debug, Write};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber, span};

use crate::output::say;

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Starts to keep the log lines.
pub fn init() {
    // Fails only if a subscriber is set already, and this program sets no other.
    let _ = tracing::subscriber::set_global_default(Keeper);
}

/// Prints the lines that were kept.
pub fn print() {
    for line in LINES.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        say!("{line}");
    }
}

struct Keeper;

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let line = format!("    [{}] {}", event.metadata().level().as_str().to_lowercase(), line.0);
        LINES.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
