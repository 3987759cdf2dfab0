//! Connections of HTTP/2: each carries many calls at once.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use proxy_wasm_host::limits::calls as limits;

use super::grpc::Outbox;
use super::pool::Key;
use super::transport::Transport;
use crate::task::{NginxExecutor, OnQuit, Sleep, Task, spawn};

/// A connection of HTTP/2. It is closed when the pool and the last call on it let go of it.
pub struct Http2 {
    sender: SendRequest<Outbox>,
    _driver: Task,
}

impl Http2 {
    /// Speaks HTTP/2 on a connection.
    pub async fn over(transport: Transport) -> hyper::Result<Self> {
        let mut builder = http2::Builder::new(NginxExecutor);
        builder.max_header_list_size(limits::RESPONSE_HEADER_SIZE as u32);
        let (sender, connection) = builder.handshake(transport).await?;
        // What goes wrong on it is told to the calls that wait for their responses.
        let driver = spawn(OnQuit::Forget, async move { drop(connection.await) });
        Ok(Self { sender, _driver: driver })
    }

    /// Sends a request, and waits for the header of its response.
    pub async fn send(&self, request: Request<Outbox>) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }
}

/// The connections of this worker.
#[derive(Default)]
pub struct Http2Pool(RefCell<HashMap<Key, Rc<Http2>>>);

impl Http2Pool {
    /// The connection to a server, if there is one that still takes calls.
    pub fn get(&self, key: &Key) -> Option<Rc<Http2>> {
        let connection = Rc::clone(self.0.borrow().get(key)?);
        if connection.sender.is_closed() {
            self.remove(key, &connection);
            return None;
        }
        Some(connection)
    }

    /// Lets further calls share a connection.
    pub fn put(self: &Rc<Self>, key: Key, connection: Http2) -> Rc<Http2> {
        let connection = Rc::new(connection);
        spawn(OnQuit::Forget, expire(Rc::downgrade(self), key.clone(), Rc::downgrade(&connection))).detach();
        let before = self.0.borrow_mut().insert(key, Rc::clone(&connection));
        drop(before);
        connection
    }

    /// Closes a connection that has no call; false if there is none.
    pub fn close_one(&self) -> bool {
        let connections = self.0.borrow();
        let mut idle = connections.iter().filter(|(_, connection)| Rc::strong_count(connection) == 1);
        let idle = idle.next().map(|(key, connection)| (key.clone(), Rc::clone(connection)));
        drop(connections);
        idle.is_some_and(|(key, connection)| {
            self.remove(&key, &connection);
            true
        })
    }

    fn remove(&self, key: &Key, connection: &Rc<Http2>) {
        let mut connections = self.0.borrow_mut();
        let removed = match connections.get(key) {
            Some(known) if Rc::ptr_eq(known, connection) => connections.remove(key),
            _ => None,
        };
        drop(connections);
        drop(removed);
    }
}

/// Takes a connection out when no call has used it for some time.
async fn expire(pool: Weak<Http2Pool>, key: Key, connection: Weak<Http2>) {
    loop {
        Sleep::new(limits::IDLE_TIME, OnQuit::Forget).await;
        let (Some(pool), Some(connection)) = (pool.upgrade(), connection.upgrade()) else { return };
        // The pool holds it, and so does this.
        if Rc::strong_count(&connection) <= 2 || connection.sender.is_closed() {
            return pool.remove(&key, &connection);
        }
    }
}
