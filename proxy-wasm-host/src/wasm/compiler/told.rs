//! The messages by which a child tells its parent what it does, through a pipe.

use std::fmt::{self, Write};
use std::io;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber, span};

use super::child::Tell;
use crate::wasm::cache::Place;
use crate::wasm::module::Hash;

/// How messages begin. The child's end has a message of its own, which is the last one.
const COMPILING: u8 = 1;
const WARNING: u8 = 2;
const LOADED: u8 = 3;

/// The most bytes of a warning: a pipe takes as many at once, or none.
const WARNING_BYTES: usize = 2048;

/// What a child knows of the module that it has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub hash: Hash,
    /// Bytes of the plugin's file.
    pub size: u64,
    /// Whether the module mentions the name that was looked for.
    pub mentions_name: bool,
    pub place: Place,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// The compiler begins.
    Compiling,
    /// A line for the log.
    Warning(&'a str),
    /// The module is there.
    Loaded(Facts),
}

impl<'a> Message<'a> {
    /// The message as it goes through the pipe.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Compiling => vec![COMPILING],
            Self::Warning(text) => {
                let text = &text[..text.floor_char_boundary(WARNING_BYTES)];
                let length = (text.len() as u16).to_le_bytes();
                [&[WARNING][..], &length, text.as_bytes()].concat()
            }
            Self::Loaded(facts) => {
                let rest = [u8::from(facts.mentions_name), facts.place as u8];
                [&[LOADED][..], facts.hash.as_bytes(), &facts.size.to_le_bytes(), &rest].concat()
            }
        }
    }

    /// The first message of what was heard, and its length; `None` if it is not there as a whole.
    pub fn first_of(heard: &'a [u8]) -> Option<(Self, usize)> {
        match heard.split_first()? {
            (&COMPILING, _) => Some((Self::Compiling, 1)),
            (&WARNING, rest) => {
                let (length, rest) = rest.split_first_chunk()?;
                let text = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
                Some((Self::Warning(str::from_utf8(text).unwrap_or_default()), 3 + text.len()))
            }
            (&LOADED, rest) => {
                let (hash, rest) = rest.split_first_chunk()?;
                let (size, rest) = rest.split_first_chunk()?;
                let [mentions_name, place] = *rest.first_chunk()?;
                let place = Place::from_u8(place)?;
                let facts = Facts {
                    hash: Hash::from_bytes(*hash),
                    size: u64::from_le_bytes(*size),
                    mentions_name: mentions_name != 0,
                    place,
                };
                Some((Self::Loaded(facts), 1 + 32 + 8 + 2))
            }
            _ => None,
        }
    }
}

/// Sends the warnings of the library to the parent. The child has closed the log, and another file
/// may have its descriptor.
pub struct Warnings(Tell);

impl Warnings {
    /// # Errors
    /// When the child has no descriptor left.
    pub fn new(tell: &Tell) -> io::Result<Self> {
        tell.try_clone().map(Self)
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= tracing::Level::WARN
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::WARN)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.tell(&Message::Warning(&line.0).to_bytes());
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
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_heard_as_they_are_told_and_never_in_part() {
        let facts = Facts { hash: Hash::of(b"x"), size: 1 << 40, mentions_name: true, place: Place::Root };
        for message in [Message::Compiling, Message::Warning("the text"), Message::Loaded(facts)] {
            let bytes = message.to_bytes();
            for length in 0..bytes.len() {
                assert_eq!(Message::first_of(&bytes[..length]), None, "{message:?}");
            }
            let told = [&bytes[..], b"rest"].concat();
            assert_eq!(Message::first_of(&told), Some((message, bytes.len())));
        }
    }

    #[test]
    fn a_long_warning_is_cut() {
        let bytes = Message::Warning(&"ü".repeat(4000)).to_bytes();
        let Some((Message::Warning(text), length)) = Message::first_of(&bytes) else { panic!("a warning") };
        assert_eq!((text.len(), length), (WARNING_BYTES, bytes.len()));
    }
}
