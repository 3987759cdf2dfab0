//! gRPC over HTTP/2: what a call sends, what it receives, and in which order the plugin is told.
//!
//! Follows <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>. As in Envoy, the
//! plugin gets only the message of a unary call that succeeds, and only the status of one that
//! fails; of a stream it gets everything.

mod outbox;

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;

use http::Request;
use hyper::body::{Body, Incoming};
use ngx_bindings::resolver::Resolver;
use proxy_wasm_host::abi;
use proxy_wasm_host::host::GrpcCall;
use proxy_wasm_host::limits::calls as limits;
use proxy_wasm_host::outgoing::messages::Messages;
use proxy_wasm_host::outgoing::metadata::{self, BadRequest};
use proxy_wasm_host::outgoing::{Names, NoServer, Service, Status};
use proxy_wasm_host::pairs::PairsBuf;

use super::client::Client;
use super::error::CallError;
use crate::host_memory::{Held, HostMemory};
use crate::task::{OnQuit, timeout};

pub use outbox::{NotSent, Outbox};

/// A call or stream that is ready to be made.
pub struct OutgoingGrpc {
    service: Service,
    request: Request<Outbox>,
    /// The call's timeout in milliseconds. A stream has none, but it must begin within the default
    /// timeout.
    timeout: Option<u32>,
    resolver: Option<Resolver>,
    memory: HostMemory,
    _held: Held,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadGrpcCall {
    /// The upstream is not a server, and not a `GrpcService` that names one.
    Upstream(NoServer),
    /// HTTP cannot carry the request.
    Request(BadRequest),
    /// The worker keeps too many bytes for the plugin already.
    Memory(abi::Status),
}

/// Receives what comes of a call, for the context that made it. `id` is the call's number.
pub trait GrpcListener {
    /// Whether the call is still under way: neither over nor cancelled.
    fn listens(&self, id: u32) -> bool;

    /// Marks the call as over. From here on its task runs to its end, even if the context that made
    /// it goes away.
    fn finish(&self, id: u32);

    /// `proxy_on_grpc_receive_initial_metadata`.
    fn initial_metadata(&self, id: u32, metadata: PairsBuf);

    /// `proxy_on_grpc_receive`.
    fn message(&self, id: u32, message: Vec<u8>);

    /// `proxy_on_grpc_receive_trailing_metadata`.
    fn trailing_metadata(&self, id: u32, metadata: PairsBuf);

    /// `proxy_on_grpc_close`.
    fn closed(&self, id: u32, status: Status);
}

/// The plugin cancelled the call in a callback about it: nobody listens any more.
struct Cancelled;

impl OutgoingGrpc {
    /// Checks a call. The messages to send come from `outbox`.
    pub fn new(
        call: &GrpcCall<'_>,
        memory: HostMemory,
        outbox: Outbox,
        timeout: Option<u32>,
        (names, resolver): (&Names<'_>, Option<Resolver>),
    ) -> Result<Self, BadGrpcCall> {
        let service = Service::parse(call.upstream, names).map_err(BadGrpcCall::Upstream)?;
        let size = call.upstream.len() + call.metadata.size() + limits::CALL;
        let held = memory.take(size).map_err(BadGrpcCall::Memory)?;
        let request = metadata::request(&service, call, outbox, timeout).map_err(BadGrpcCall::Request)?;
        Ok(Self { service, request, timeout, resolver, memory, _held: held })
    }

    /// Makes a unary call, then tells the plugin its message or its failure.
    pub async fn call(self, client: Rc<Client>, listener: impl GrpcListener, id: u32) {
        let exchange = timeout(self.timeout.unwrap_or(limits::DEFAULT_TIMEOUT), OnQuit::Forget, async {
            let mut message = None;
            let mut received = |received| {
                message = Some(received);
                Ok(())
            };
            let status = self.exchange(&client, &listener, id, &mut received).await;
            (status, message)
        });
        let (status, message) = match exchange.await {
            None => (Ok(Status::deadline_exceeded()), None),
            Some((status, message)) => (status, message),
        };
        let Ok(status) = status else { return };
        listener.finish(id);
        match (status.is_ok(), message) {
            (true, Some(message)) => listener.message(id, message),
            (true, None) => listener.closed(id, Status::internal("no message received")),
            (false, _) => listener.closed(id, status),
        }
    }

    /// Opens a stream, and tells the plugin everything that comes on it.
    pub async fn stream(self, client: Rc<Client>, listener: impl GrpcListener, id: u32) {
        let mut received = |message| tell(&listener, id, || listener.message(id, message));
        if let Ok(status) = self.exchange(&client, &listener, id, &mut received).await {
            listener.finish(id);
            listener.closed(id, status);
        }
    }

    async fn exchange(
        self,
        client: &Client,
        listener: &impl GrpcListener,
        id: u32,
        received: &mut dyn FnMut(Vec<u8>) -> Result<(), Cancelled>,
    ) -> Result<Status, Cancelled> {
        let connecting = client.http2(&self.service, self.memory, self.resolver);
        let connected = timeout(limits::DEFAULT_TIMEOUT, OnQuit::Forget, connecting).await;
        let (connection, _place) = match connected.unwrap_or(Err(CallError::Timeout)) {
            Ok(connected) => connected,
            Err(error) => return Ok(Status::unavailable(&error)),
        };
        let response = match connection.send(self.request).await {
            Ok(response) => response,
            Err(error) => return Ok(Status::unavailable(&CallError::Http(error))),
        };
        let (head, body) = response.into_parts();
        if let Some(status) = Status::of_fields(&head.headers) {
            // A response without messages has its trailers in its header.
            let metadata = metadata::received(&head.headers);
            return tell_trailing(listener, id, metadata).map(|()| status);
        }
        if let Some(status) = Status::of_http(head.status) {
            return Ok(status);
        }
        let metadata = metadata::received(&head.headers);
        tell(listener, id, || listener.initial_metadata(id, metadata))?;
        receive(body, client.response_limit(), self.memory, listener, id, received).await
    }
}

/// Reads all messages, then the trailers.
async fn receive(
    mut body: Incoming,
    limit: usize,
    memory: HostMemory,
    listener: &impl GrpcListener,
    id: u32,
    received: &mut dyn FnMut(Vec<u8>) -> Result<(), Cancelled>,
) -> Result<Status, Cancelled> {
    let mut messages = Messages::new(limit);
    // Counts the received bytes that are not a whole message yet.
    let Ok(mut held) = memory.take(0) else { return Ok(Status::host_memory()) };
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => return Ok(Status::unavailable(&CallError::Http(error))),
        };
        match frame.into_data() {
            Ok(data) => {
                messages.push(&data);
                if held.set(messages.size()).is_err() {
                    return Ok(Status::host_memory());
                }
                loop {
                    match messages.take_message() {
                        Ok(Some(message)) => received(message)?,
                        Ok(None) => break,
                        Err(status) => return Ok(status),
                    }
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    tell_trailing(listener, id, metadata::received(&trailers))?;
                    return Ok(Status::of_fields(&trailers).unwrap_or_else(Status::missing));
                }
            }
        }
    }
    Ok(Status::missing())
}

fn tell_trailing(listener: &impl GrpcListener, id: u32, metadata: PairsBuf) -> Result<(), Cancelled> {
    tell(listener, id, || listener.trailing_metadata(id, metadata))
}

/// Runs a callback, unless the plugin cancelled the call in the callback before.
fn tell(listener: &impl GrpcListener, id: u32, callback: impl FnOnce()) -> Result<(), Cancelled> {
    if !listener.listens(id) {
        return Err(Cancelled);
    }
    callback();
    if listener.listens(id) { Ok(()) } else { Err(Cancelled) }
}
