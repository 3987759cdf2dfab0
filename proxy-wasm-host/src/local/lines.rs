//! What a test's thread logs.
//!
//! One subscriber for the whole process, in place before the first of our lines can be logged: `tracing` asks for the interest
//! in a line once, where it is first met, and a subscriber that comes just then, from another test, is never told of it.

use std::cell::RefCell;
use std::fmt;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// What this thread has logged since it began to keep it.
    static LINES: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Begins to listen, once.
pub(super) fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Listener).expect("tests have no other subscriber"));
}

/// What this thread logs while `run` runs, each line after its level.
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
