//! HTTP/2 connections: each carries many calls at once.

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
use crate::connections::{Connections, Place};
use crate::task::{NginxExecutor, OnQuit, Sleep, Task, spawn};

/// An HTTP/2 connection. It closes when the pool and the last call on it have dropped it.
pub struct Http2 {
    sender: SendRequest<Outbox>,
    _driver: Task,
    /// For each plugin that has calls on it, the place that it takes among the plugin's connections.
    places: RefCell<Vec<Weak<Place>>>,
}

impl Http2 {
    /// Starts HTTP/2 on a connection.
    pub async fn over(transport: Transport) -> hyper::Result<Self> {
        let mut builder = http2::Builder::new(NginxExecutor);
        builder.max_header_list_size(limits::RESPONSE_HEADER_SIZE as u32);
        let (sender, connection) = builder.handshake(transport).await?;
        // hyper reports a connection's error to the calls that wait for their responses.
        let driver = spawn(OnQuit::Forget, async move { drop(connection.await) });
        Ok(Self { sender, _driver: driver, places: RefCell::default() })
    }

    /// The place that the connection takes among these of a plugin, if calls of it use the connection.
    pub fn place_of(&self, connections: &'static Connections) -> Option<Rc<Place>> {
        let mut places = self.places.borrow_mut();
        places.retain(|place| place.strong_count() > 0);
        places.iter().filter_map(Weak::upgrade).find(|place| place.is_of(connections))
    }

    /// Gives the connection a place among those of a plugin, which it keeps while calls hold it.
    pub fn take_place(&self, place: Place) -> Rc<Place> {
        let place = Rc::new(place);
        self.places.borrow_mut().push(Rc::downgrade(&place));
        place
    }

    /// Sends a request and waits for the header of its response.
    pub async fn send(&self, request: Request<Outbox>) -> hyper::Result<Response<Incoming>> {
        let mut sender = self.sender.clone();
        sender.ready().await?;
        sender.send_request(request).await
    }
}

/// The HTTP/2 connections of this worker.
#[derive(Default)]
pub struct Http2Pool(RefCell<HashMap<Key, Rc<Http2>>>);

impl Http2Pool {
    /// Returns the connection to a server, if one exists that accepts further calls.
    pub fn get(&self, key: &Key) -> Option<Rc<Http2>> {
        let connection = Rc::clone(self.0.borrow().get(key)?);
        if connection.sender.is_closed() {
            self.remove(key, &connection);
            return None;
        }
        Some(connection)
    }

    /// Adds a connection, so that further calls can share it.
    pub fn put(self: &Rc<Self>, key: Key, connection: Http2) -> Rc<Http2> {
        let connection = Rc::new(connection);
        spawn(OnQuit::Forget, expire(Rc::downgrade(self), key.clone(), Rc::downgrade(&connection))).detach();
        let before = self.0.borrow_mut().insert(key, Rc::clone(&connection));
        drop(before);
        connection
    }

    /// Closes one connection that has no call. Answers false if there was none.
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

/// Removes a connection from the pool when no call has used it for [`limits::IDLE_TIME`].
async fn expire(pool: Weak<Http2Pool>, key: Key, connection: Weak<Http2>) {
    loop {
        Sleep::new(limits::IDLE_TIME, OnQuit::Forget).await;
        let (Some(pool), Some(connection)) = (pool.upgrade(), connection.upgrade()) else { return };
        // Two references, the pool's and this task's, mean that no call uses the connection.
        if Rc::strong_count(&connection) <= 2 || connection.sender.is_closed() {
            return pool.remove(&key, &connection);
        }
    }
}
