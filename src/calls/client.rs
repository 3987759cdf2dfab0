//! A worker's client: it makes HTTP calls over HTTP/1.1, opens HTTP/2 connections for gRPC, and
//! keeps those to Redis.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use http::{HeaderMap, Response};
use hyper::body::{Body, Incoming};
use ngx_bindings::cycle;
use ngx_bindings::inet::Address;
use ngx_bindings::resolver::Resolver;
use ngx_bindings::ssl::{self, Tls};
use proxy_wasm_host::outgoing::balancer::Balancer;
use proxy_wasm_host::outgoing::{Names, Service, Target, Upstreams};
use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::{Dialect, HttpCallResponse};

use super::connect::{Candidates, Secure, balancer, connect, is_block};
use super::error::CallError;
use super::http2::{Http2, Http2Pool};
use super::outgoing::Outgoing;
use super::pool::{Http1, Key, Pool};
use super::redis::{RedisConnection, RedisKey};
use super::transport::Transport;
use crate::connections::{self, Place};
use crate::host_memory::HostMemory;
use crate::log_limit::LogLimit;
use crate::task::{OnQuit, timeout};

/// The state that the calls of all plugins of a worker share: TLS, limits, idle connections.
pub struct Client {
    tls: Option<Rc<Tls>>,
    upstreams: Rc<Upstreams>,
    response_limit: usize,
    /// `wasm_call_connections`, if it is set.
    connection_limit: Option<usize>,
    place_log: LogLimit,
    pool: Rc<Pool<Key, Http1>>,
    pub(super) redis: Rc<Pool<RedisKey, RedisConnection>>,
    http2: Rc<Http2Pool>,
    /// Balancers by name of their `upstream` block, in lower case.
    balancers: RefCell<HashMap<String, Rc<Balancer<Address>>>>,
    next_id: Cell<u32>,
}

impl Client {
    /// Makes a client without connections.
    pub fn new(
        tls: Option<Rc<Tls>>,
        upstreams: Rc<Upstreams>,
        response_limit: usize,
        connection_limit: Option<usize>,
    ) -> Self {
        Self {
            tls,
            upstreams,
            response_limit,
            connection_limit,
            place_log: LogLimit::default(),
            pool: Rc::default(),
            redis: Rc::default(),
            http2: Rc::default(),
            balancers: RefCell::default(),
            next_id: Cell::new(0),
        }
    }

    /// Returns the number of a new call. Numbers count per worker, from 0.
    pub fn next_id(&self) -> u32 {
        self.next_id.replace(self.next_id.get().wrapping_add(1))
    }

    /// Makes a call. The call's timeout covers everything, including the wait for a connection's
    /// place.
    pub async fn call(&self, call: &Outgoing, resolver: Option<Resolver>) -> Result<HttpCallResponse, CallError> {
        let exchange = async {
            let _place = self.place_of(call.memory()).await;
            self.try_servers(call, resolver).await
        };
        timeout(call.timeout, OnQuit::Forget, exchange).await.unwrap_or(Err(CallError::Timeout))
    }

    /// The limit for the body of a response, or for one gRPC message, in bytes.
    pub fn response_limit(&self) -> usize {
        self.response_limit
    }

    /// Returns how the names that a plugin calls are read.
    pub fn names(&self, dialect: Dialect) -> Names<'_> {
        Names { upstreams: &self.upstreams, is_block, bare_hosts: dialect == Dialect::CModule }
    }

    /// Returns an HTTP/2 connection to a service, a new one if none can be shared, and the place that
    /// it takes among the plugin's connections while the call holds it. Calls of a plugin on one
    /// connection share the place.
    pub async fn http2(
        &self,
        service: &Service,
        memory: HostMemory,
        resolver: Option<Resolver>,
    ) -> Result<(Rc<Http2>, Rc<Place>), CallError> {
        let default_port = if service.tls.is_some() { 443 } else { 80 };
        let mut candidates = self.candidates(&service.target, default_port, resolver).await?;
        let (mut free_place, mut last_error) = (None, None);
        while let Some(address) = candidates.next() {
            let key = Key { address, tls: service.tls.clone() };
            if let Some(shared) = self.shared_http2(&key, memory) {
                return Ok(shared);
            }
            let place = match free_place.take() {
                Some(place) => place,
                None => self.place_of(memory).await,
            };
            // Another call may have connected meanwhile.
            if let Some(shared) = self.shared_http2(&key, memory) {
                return Ok(shared);
            }
            if let Some(connection) = self.http2.get(&key) {
                let place = connection.take_place(place);
                return Ok((connection, place));
            }
            match self.connect(&key, b"\x02h2").await {
                Ok(connection) => {
                    candidates.report(true);
                    if key.tls.is_some() && ssl::alpn_selected(&connection.connection) != b"h2" {
                        return Err(CallError::NoHttp2);
                    }
                    let connection = Http2::over(connection).await.map_err(CallError::Http)?;
                    let connection = self.http2.put(key, connection);
                    let place = connection.take_place(place);
                    return Ok((connection, place));
                }
                Err(error) => {
                    candidates.report(false);
                    (free_place, last_error) = (Some(place), Some(error));
                }
            }
        }
        Err(last_error.unwrap_or_else(|| CallError::NoLiveServers(service.target.to_string())))
    }

    /// Returns a connection that other calls of the plugin use.
    fn shared_http2(&self, key: &Key, memory: HostMemory) -> Option<(Rc<Http2>, Rc<Place>)> {
        let connection = self.http2.get(key)?;
        let place = connection.place_of(memory.account().connections())?;
        Some((connection, place))
    }

    pub(super) async fn candidates(
        &self,
        target: &Target,
        port: u16,
        resolver: Option<Resolver>,
    ) -> Result<Candidates, CallError> {
        match target {
            Target::Upstream(name) => Ok(Candidates::Balanced(self.balancer(name), Vec::new())),
            _ => Candidates::of(target, port, resolver).await,
        }
    }

    /// Tries the servers in order. The next one is tried only if the connection to the one before
    /// failed: a request that was sent may have had its effect.
    async fn try_servers(&self, call: &Outgoing, resolver: Option<Resolver>) -> Result<HttpCallResponse, CallError> {
        let mut candidates = self.candidates(&call.target, call.default_port(), resolver).await?;
        let mut last_error = None;
        while let Some(address) = candidates.next() {
            let key = Key { address, tls: call.tls.clone() };
            if let Some(response) = self.reuse(call, &key).await? {
                return Ok(response);
            }
            match self.connect(&key, b"").await {
                Ok(connection) => {
                    candidates.report(true);
                    let mut connection = Http1::over(connection).await.map_err(CallError::Http)?;
                    let response =
                        connection.send(call.request()).await.map_err(|error| CallError::Http(error.into_error()))?;
                    return self.receive(call, key, connection, response).await;
                }
                Err(error) => {
                    candidates.report(false);
                    last_error = Some(error);
                }
            }
        }
        Err(last_error.unwrap_or_else(|| CallError::NoLiveServers(call.target.to_string())))
    }

    pub(super) async fn connect(&self, key: &Key, protocols: &[u8]) -> Result<Transport, CallError> {
        let secure = key.tls.as_ref().map(|server| Secure { tls: self.tls.as_deref(), server, protocols });
        let place = self.place().await;
        Ok(Transport { connection: connect(&key.address, secure).await?, _place: place })
    }

    /// Takes a place among the connections of all calls. An idle connection is closed to make room.
    async fn place(&self) -> Place {
        let (all, limit) = (connections::of_worker(), self.connection_limit());
        if all.open() >= limit && !self.close_one() {
            self.tell_wait(limit);
        }
        all.take(limit).await
    }

    /// Closes an idle connection. Answers false if there is none.
    fn close_one(&self) -> bool {
        self.pool.close_one() || self.redis.close_one() || self.http2.close_one()
    }

    /// Takes a place, for one call, among the connections that the plugin may have.
    pub(super) async fn place_of(&self, memory: HostMemory) -> Place {
        let (of_plugin, limit) = (memory.account().connections(), share(self.connection_limit()));
        if of_plugin.open() >= limit {
            self.tell_wait(limit);
        }
        of_plugin.take(limit).await
    }

    fn tell_wait(&self, limit: usize) {
        if self.place_log.is_due() {
            tracing::warn!("calls of plugins wait: {limit} connections are in use (wasm_call_connections)");
        }
    }

    /// Takes both places at once, or none, for a call that another client makes.
    pub fn try_places(&self, memory: HostMemory) -> Option<(Place, Place)> {
        let limit = self.connection_limit();
        let of_plugin = memory.account().connections().try_take(share(limit))?;
        Some((of_plugin, connections::of_worker().try_take(limit)?))
    }

    fn connection_limit(&self) -> usize {
        self.connection_limit.unwrap_or_else(|| cycle::connections() / 2).max(1)
    }

    /// Makes the call on a kept connection. Answers `None` if there is none, or if the server has
    /// closed all that were kept.
    async fn reuse(&self, call: &Outgoing, key: &Key) -> Result<Option<HttpCallResponse>, CallError> {
        while let Some(mut connection) = self.pool.take(key) {
            match connection.send(call.request()).await {
                Ok(response) => return self.receive(call, key.clone(), connection, response).await.map(Some),
                // The server may close a kept connection at the moment when it is used again.
                Err(error) if error.message().is_some() || call.is_idempotent() => {}
                Err(error) => return Err(CallError::Http(error.into_error())),
            }
        }
        Ok(None)
    }

    /// Reads the whole response, then keeps the connection for the next call.
    async fn receive(
        &self,
        call: &Outgoing,
        key: Key,
        connection: Http1,
        response: Response<Incoming>,
    ) -> Result<HttpCallResponse, CallError> {
        let (head, mut incoming) = response.into_parts();
        let mut headers = PairsBuf::default();
        headers.push(b":status", head.status.as_str().as_bytes());
        push_fields(&mut headers, &head.headers);
        let (mut body, mut trailers) = (Vec::new(), PairsBuf::default());
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
            match frame.map_err(CallError::Http)?.into_data() {
                Ok(data) if body.len() + data.len() > self.response_limit => {
                    return Err(CallError::TooLarge(self.response_limit));
                }
                Ok(data) => {
                    call.keep(data.len())?;
                    body.extend_from_slice(&data);
                }
                Err(frame) => {
                    if let Ok(fields) = frame.into_trailers() {
                        push_fields(&mut trailers, &fields);
                    }
                }
            }
        }
        if !connections::of_worker().anybody_waits() {
            self.pool.put(key, connection);
        }
        Ok(HttpCallResponse { headers, body, trailers, dispatch_status: None })
    }

    fn balancer(&self, name: &str) -> Rc<Balancer<Address>> {
        let mut balancers = self.balancers.borrow_mut();
        // A block has its name in any case, of which plugins can write very many.
        let name = name.to_ascii_lowercase();
        Rc::clone(balancers.entry(name).or_insert_with_key(|name| Rc::new(balancer(name))))
    }
}

/// Adds all fields. Their names are in lower case already.
fn push_fields(pairs: &mut PairsBuf, fields: &HeaderMap) {
    for (name, value) in fields {
        pairs.push(name.as_str().as_bytes(), value.as_bytes());
    }
}

/// The number of connections that one plugin may have for calls: three quarters, so that some are
/// left to other plugins.
fn share(limit: usize) -> usize {
    limit - limit / 4
}
