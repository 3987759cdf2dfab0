//! The lines that a test's thread logs.
//!
//! The whole process has one subscriber, which is set before the host logs its first line.
//! `tracing` asks a subscriber about each log call only once, when the call first runs. A
//! subscriber that another test sets at just that moment would never be asked.

use std::cell::RefCell;
use std::fmt;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// The lines that this thread has logged since it began to keep them.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Sets the subscriber, once.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).expect("tests have no other subscriber"));
}

/// Returns the lines that this thread logs while `run` runs, each after its level.
pub(crate) fn logged(run: impl FnOnce()) -> Vec<String> {
    listen();
    LINES.set(Some(Vec::new()));
    run();
    LINES.take().into_iter().flatten().filter(|line| !line.contains("wasmtime")).collect()
}

struct Listener;

impl Subscriber for Listener {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn event(&self, event: &Event<'_>) {
        struct Message(String);
        impl Visit for Message {
            fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
                if field.name() == "message" {
                    self.0 = format!("{value:?}");
                }
            }
        }
        LINES.with_borrow_mut(|lines| {
            let Some(lines) = lines else { return };
            let mut message = Message(String::new());
            event.record(&mut message);
            lines.push(format!("{} {}", event.metadata().level(), message.0));
        });
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
