//! The HTTP calls of a request that Lua makes, as [`crate::lua`] is told of them and tells what came of them.
//!
//! Such a call is a task as any other, and what ends it is the same; only its response comes from elsewhere.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Poll, Waker};

use ngx_bindings::resolver::Resolver;
use proxy_wasm_host::state::HttpCallResponse;

use crate::calls::{CallError, Client, Outgoing, Target};
use crate::connections::Place;
use crate::lazy_box::LazyBox;
use crate::task::{OnQuit, timeout};

/// The calls of one request that Lua makes. It holds none of them: they end with their tasks.
#[derive(Default)]
pub struct LuaCalls {
    /// The slot whose plugin Lua's thread waits for, or is about to.
    slot: Cell<Option<usize>>,
    work: LazyBox<Work>,
}

/// What there is to do for Lua, and what it does.
#[derive(Default)]
struct Work {
    /// Lua has not asked for these yet.
    queued: RefCell<VecDeque<Weak<LuaCall>>>,
    /// These it makes: few, and none in most requests.
    under_way: RefCell<Vec<Weak<LuaCall>>>,
    /// What Lua reads a description from, until it asks for the next.
    described: RefCell<Option<Description>>,
}

impl LuaCalls {
    /// From now on Lua makes the calls of that slot's plugin.
    pub fn serve(&self, slot: usize) {
        self.slot.set(Some(slot));
    }

    /// Lua's thread goes on, and looks for no more calls.
    pub fn stop(&self) {
        self.slot.set(None);
    }

    /// Has Lua make a call; `None` if it will not, or cannot: `resty.http` sends no trailers, knows no `upstream` blocks, and
    /// speaks no TLS over a socket in the file system.
    pub fn queue(&self, slot: usize, id: u32, call: &Rc<Outgoing>, client: &Client) -> Option<Rc<LuaCall>> {
        let can_be_made = match call.target {
            Target::Upstream(_) => false,
            Target::Unix(_) => call.tls_name.is_none(),
            Target::Host(..) | Target::Ip(..) => true,
        };
        if self.slot.get() != Some(slot) || !can_be_made || call.has_trailers() {
            return None;
        }
        // Lua's thread does not wait for a connection to become free; the worker's own client does.
        let places = client.try_places(call.memory())?;
        let call = Rc::clone(call);
        let call = Rc::new(LuaCall {
            id,
            call,
            reply: Cell::default(),
            waker: Cell::default(),
            places: Cell::new(Some(places)),
        });
        self.work.make().queued.borrow_mut().push_back(Rc::downgrade(&call));
        Some(call)
    }

    /// The next call that Lua is to make.
    pub fn next(&self) -> Option<Rc<LuaCall>> {
        let work = self.work.get()?;
        // Some may have been cancelled.
        let call = std::iter::from_fn(|| work.queued.borrow_mut().pop_front()).find_map(|call| call.upgrade())?;
        work.under_way.borrow_mut().push(Rc::downgrade(&call));
        Some(call)
    }

    /// Keeps what Lua reads of a call, until the next.
    pub fn keep_description(&self, description: Description) {
        self.work.make().described.replace(Some(description));
    }

    /// What came of a call that Lua makes; nothing is told of one that was cancelled.
    pub fn reply(&self, id: u32, reply: impl FnOnce(&Outgoing) -> Reply) {
        let Some(work) = self.work.get() else { return };
        let call = {
            let mut under_way = work.under_way.borrow_mut();
            // One that was cancelled is gone from the moment on.
            under_way.retain(|call| call.strong_count() > 0);
            let position = under_way.iter().position(|call| call.upgrade().is_some_and(|call| call.id == id));
            position.and_then(|position| under_way.swap_remove(position).upgrade())
        };
        if let Some(call) = call {
            call.reply.set(Some(reply(&call.call)));
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }
}

/// A call that Lua makes.
pub struct LuaCall {
    pub id: u32,
    pub call: Rc<Outgoing>,
    reply: Cell<Option<Reply>>,
    waker: Cell<Option<Waker>>,
    /// Until it is declined.
    places: Cell<Option<(Place, Place)>>,
}

/// What Lua says of a call.
pub enum Reply {
    Response(HttpCallResponse),
    /// In the words of `resty.http`.
    Failed(String),
    /// There is no `resty.http`.
    Declined,
}

impl LuaCall {
    /// What comes of it, within the call's timeout; made by `client`, if Lua declines.
    pub async fn response(&self, client: &Client, resolver: Option<Resolver>) -> Result<HttpCallResponse, CallError> {
        let reply = poll_fn(|cx| match self.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => {
                self.waker.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        });
        match timeout(self.call.timeout, OnQuit::Wait, reply).await {
            Some(Reply::Response(response)) => Ok(response),
            Some(Reply::Failed(reason)) => Err(CallError::Lua(reason)),
            Some(Reply::Declined) => {
                drop(self.places.take());
                client.call(&self.call, resolver, OnQuit::Wait).await
            }
            None => Err(CallError::Timeout),
        }
    }
}

/// What Lua is told of a call, where it does not lie in the call itself.
pub struct Description {
    pub call: Rc<LuaCall>,
    pub host: String,
    pub port: u16,
    /// A line each, as `name:value`.
    pub fields: Vec<u8>,
}

impl Description {
    /// `None` where the target has no host.
    pub fn new(call: Rc<LuaCall>) -> Option<Self> {
        let (host, port) = call.call.target.host_and_port(call.call.default_port())?;
        let mut fields = Vec::new();
        for (name, value) in call.call.headers() {
            fields.extend_from_slice(&[name.as_str().as_bytes(), b":", value.as_bytes(), b"\n"].concat());
        }
        Some(Self { call, host, port, fields })
    }
}
