//! What few requests need.

use std::cell::RefCell;

use ngx_bindings::event::Event;

use super::instances::InstanceWait;
use super::{Answer, Body, KeptProperties};
use crate::host_memory::Held;

/// What few requests need. It is in one box, which is made for the first of it: each thing by itself
/// would cost every request some instructions, when the request begins and when it ends.
#[derive(Default)]
pub struct Rare {
    /// The answer that a callback wants sent, until nginx sends it.
    pub answer: RefCell<Option<Box<Answer>>>,
    /// Why the first answer was given, in its plugin's words.
    pub answer_details: RefCell<Option<Vec<u8>>>,
    /// The request's body, while plugins may see it.
    pub request_body: RefCell<Option<Body>>,
    /// The bytes of a changed body, while Lua copies them.
    pub for_lua: RefCell<Vec<u8>>,
    /// The properties that plugins set.
    pub properties: KeptProperties,
    /// The server that the request is to go to, if a plugin chose one.
    pub chosen_host: RefCell<Option<Vec<u8>>>,
    /// The event that continues the request.
    pub event: RefCell<Option<Box<Event>>>,
    /// Whether the request waits for an instance of its own.
    pub instance: InstanceWait,
    /// The bytes that count for plugins until the request ends.
    pub held: RefCell<Vec<Held>>,
}
