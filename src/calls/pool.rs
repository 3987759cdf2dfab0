//! Where connections wait for the next call, and HTTP/1.1 connections: how they are made and closed.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::{Rc, Weak};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use ngx_bindings::inet::Address;
use proxy_wasm_host::limits::calls as limits;
use proxy_wasm_host::outgoing::TlsServer;

use super::body::CallBody;
use super::transport::Transport;
use crate::task::{OnQuit, Sleep, Task, spawn};

/// The key of a connection: calls with equal keys may share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The server's address.
    pub address: Address,
    /// The name that the server's certificate proved, or that was not checked; `None` without TLS.
    pub tls: Option<TlsServer>,
}

/// An HTTP/1.1 connection. Dropping it closes it, even in the middle of a response.
pub struct Http1 {
    sender: SendRequest<CallBody>,
    _driver: Task,
}

impl Http1 {
    /// Starts HTTP/1.1 on a connection.
    pub async fn over(transport: Transport) -> hyper::Result<Self> {
        let mut builder = http1::Builder::new();
        builder.max_headers(limits::RESPONSE_HEADERS).max_buf_size(limits::RESPONSE_HEADER_SIZE);
        let (sender, connection) = builder.handshake(transport).await?;
        // hyper reports a connection's error to the call that waits for its response.
        let driver = spawn(OnQuit::Forget, async move { drop(connection.await) });
        Ok(Self { sender, _driver: driver })
    }

    /// Sends a request and waits for the header of its response.
    pub async fn send(
        &mut self,
        request: Request<CallBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<CallBody>>> {
        self.sender.try_send_request(request).await
    }
}

/// A connection that can serve one call after the other.
pub trait Reusable {
    /// Whether the next call can be made now, as far as is known: the server may be closing the
    /// connection.
    fn is_ready(&mut self) -> bool;

    /// Whether no call can be made any more.
    fn is_spent(&self) -> bool;
}

impl Reusable for Http1 {
    fn is_ready(&mut self) -> bool {
        self.sender.is_ready()
    }

    fn is_spent(&self) -> bool {
        self.sender.is_closed()
    }
}

/// The idle connections of this worker, of one protocol.
pub struct Pool<K, C> {
    idle: RefCell<HashMap<K, Vec<Idle<C>>>>,
    last_id: Cell<u64>,
}

struct Idle<C> {
    id: u64,
    /// The connection, which the task holds: a worker that exits closes it with its tasks.
    connection: Weak<Cell<Option<C>>>,
    _expiry: Task,
}

impl<K, C> Default for Pool<K, C> {
    fn default() -> Self {
        Self { idle: RefCell::default(), last_id: Cell::default() }
    }
}

impl<K: Clone + Eq + Hash + 'static, C: Reusable + 'static> Pool<K, C> {
    /// Takes an idle connection: the one used last, because the server will keep it open the
    /// longest.
    pub fn take(&self, key: &K) -> Option<C> {
        loop {
            let idle = self.pop(key)?;
            let connection = idle.connection.upgrade().and_then(|connection| connection.take());
            if let Some(mut connection) = connection
                && connection.is_ready()
            {
                return Some(connection);
            }
        }
    }

    /// Keys without connections are not kept: plugins can make as many as they like.
    fn pop(&self, key: &K) -> Option<Idle<C>> {
        let mut pool = self.idle.borrow_mut();
        let connections = pool.get_mut(key)?;
        let idle = connections.pop();
        if connections.is_empty() {
            pool.remove(key);
        }
        idle
    }

    /// Keeps a connection whose call is over, unless the server has closed it.
    pub fn put(self: &Rc<Self>, key: K, connection: C) {
        if connection.is_spent() {
            return;
        }
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let connection = Rc::new(Cell::new(Some(connection)));
        let held = Rc::downgrade(&connection);
        let expiry = spawn(OnQuit::Forget, expire(Rc::downgrade(self), key.clone(), id, connection));
        let idle = Idle { id, connection: held, _expiry: expiry };
        let mut pool = self.idle.borrow_mut();
        let connections = pool.entry(key).or_default();
        connections.push(idle);
        let oldest = (connections.len() > limits::IDLE_CONNECTIONS).then(|| connections.remove(0));
        drop(pool);
        drop(oldest);
    }

    /// Closes the connection that has been idle the longest. Answers false if none was idle.
    pub fn close_one(&self) -> bool {
        let pool = self.idle.borrow();
        let oldest =
            pool.iter().filter_map(|(key, idle)| Some((idle.first()?.id, key.clone()))).min_by_key(|idle| idle.0);
        drop(pool);
        oldest.is_some_and(|(id, key)| {
            self.remove(&key, id);
            true
        })
    }

    fn remove(&self, key: &K, id: u64) {
        let mut pool = self.idle.borrow_mut();
        let Some(connections) = pool.get_mut(key) else { return };
        let position = connections.iter().position(|idle| idle.id == id);
        let removed = position.map(|position| connections.remove(position));
        if connections.is_empty() {
            pool.remove(key);
        }
        drop(pool);
        drop(removed);
    }
}

async fn expire<K: Clone + Eq + Hash + 'static, C: Reusable + 'static>(
    pool: Weak<Pool<K, C>>,
    key: K,
    id: u64,
    connection: Rc<Cell<Option<C>>>,
) {
    Sleep::new(limits::IDLE_TIME, OnQuit::Forget).await;
    drop(connection);
    if let Some(pool) = pool.upgrade() {
        pool.remove(&key, id);
    }
}
