//! HTTP/1.1 connections: how they are made and closed, and where they wait for the next call.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use ngx_bindings::inet::Address;
use proxy_wasm_host::limits::calls as limits;

use super::body::CallBody;
use super::transport::Transport;
use crate::task::{OnQuit, Sleep, Task, spawn};

/// The key of a connection: calls with equal keys may share one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The server's address.
    pub address: Address,
    /// The name that the server's certificate proved; `None` without TLS.
    pub tls_name: Option<String>,
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

/// The idle connections of this worker.
#[derive(Default)]
pub struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>>>,
    last_id: Cell<u64>,
}

struct Idle {
    id: u64,
    connection: Http1,
    _expiry: Task,
}

impl Pool {
    /// Takes an idle connection: the one used last, because the server will keep it open the
    /// longest.
    pub fn take(&self, key: &Key) -> Option<Http1> {
        loop {
            let idle = self.idle.borrow_mut().get_mut(key)?.pop()?;
            if idle.connection.sender.is_ready() {
                return Some(idle.connection);
            }
        }
    }

    /// Keeps a connection whose call is over, unless the server has closed it.
    pub fn put(self: &Rc<Self>, key: Key, connection: Http1) {
        if connection.sender.is_closed() {
            return;
        }
        let id = self.last_id.get() + 1;
        self.last_id.set(id);
        let expiry = spawn(OnQuit::Forget, expire(Rc::downgrade(self), key.clone(), id));
        let idle = Idle { id, connection, _expiry: expiry };
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

    fn remove(&self, key: &Key, id: u64) {
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

async fn expire(pool: Weak<Pool>, key: Key, id: u64) {
    Sleep::new(limits::IDLE_TIME, OnQuit::Forget).await;
    if let Some(pool) = pool.upgrade() {
        pool.remove(&key, id);
    }
}
