//! What a host offers to plugins, as traits: one per chapter of the spec.
//!
//! [`Host`] is what a VM can always reach. [`Stream`] is one request, reached through the
//! HttpContext of that request. nginx's module implements them on a worker and a request,
//! [`local`](crate::local) on plain structs. Arguments that arrive here have been checked for
//! memory safety, and header names and values for CR, LF and NUL; the host decides whether they
//! make sense.

use std::borrow::Cow;
use std::time::Duration;

use super::abi::{BufferType, LogLevel, MapType, MetricType, Status, StreamType};
use super::pairs::{Pairs, PairsBuf};
use super::property::PropertyPath;

/// The result of a host function.
pub type Result<T = ()> = std::result::Result<T, Status>;

/// Everything that a VM can call on its host.
pub trait Host:
    Logging<Self::Stream>
    + Clocks
    + Timers
    + HttpCalls<Self::Stream>
    + GrpcCalls<Self::Stream>
    + RedisCalls<Self::Stream>
    + SharedData
    + SharedQueues
    + Metrics
    + ForeignFunctions<Self::Stream>
    + Signatures
    + 'static
{
    /// One HTTP request and its response.
    type Stream: Stream;

    /// An instance is about to start. This method and the next ones are not of the spec: they let a
    /// host keep statistics.
    fn instance_starting(&mut self) {}
    /// The instance is to serve one request. It is asked before the instance starts or is restored.
    /// Ticks, queues and the calls of plugin contexts stay with the worker's instance.
    fn serve_request(&mut self) {}
    /// The instance has started.
    fn instance_started(&mut self) {}
    /// The instance is there, restored from an image.
    fn instance_restored(&mut self) {}
    /// The request that the instance served is over, and all that belonged to it must end now. The
    /// instance may serve another one later, with another host.
    fn instance_rests(&mut self) {}
    /// A callback did not return, and the instance ends, with all requests that live in it.
    fn instance_failed(&mut self, _blame: Blame) {}
    /// A request has reached the plugin.
    fn stream_opened(&mut self) {}
    /// The plugin has started a call to another server.
    fn call_started(&mut self) {}
    /// A callback begins, or several that follow each other. Returns whether to measure them.
    fn guest_entered(&mut self) -> bool {
        false
    }
    /// This many callbacks ended; `_returned` says whether the last of them returned. If they were
    /// measured, `_memory_size` is the size of the linear memory in bytes.
    fn guest_left(&mut self, _callbacks: usize, _returned: bool, _memory_size: Option<usize>) {}
}

/// Who made an instance fail, and who else is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame {
    /// The context whose callback did not return.
    pub by: FailedContext,
    /// Other requests that lived in the instance.
    pub collateral: usize,
}

/// A context whose callback did not return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailedContext {
    /// An HttpContext: a request.
    Http,
    /// A PluginContext, by its id, in a callback that no request brought about.
    Plugin(u32),
    /// A PluginContext that was being created or configured.
    Starting,
}

/// Everything that a plugin can do to one request.
pub trait Stream: HeaderMaps + Buffers + Properties + LocalResponse + StreamControl + Upstreams + 'static {
    /// Whether calls that the request made go on when it is over. Their answers come to the plugin
    /// context, and the plugin knows them by the id of the request's context; so that id is then not
    /// given to another request.
    fn leaves_calls(&self) -> bool {
        false
    }
}

/// Who calls: for functions whose result comes back to a context later.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a, S> {
    /// The effective plugin context, or the plugin context of the effective HttpContext.
    pub plugin_context: u32,
    /// The effective context.
    pub context: u32,
    /// The request of the effective context, if that is an HttpContext whose request still lives.
    pub stream: Option<&'a S>,
}

/// Spec, "Logging".
pub trait Logging<S> {
    /// The lowest level that is logged.
    fn log_level(&self, stream: Option<&S>) -> LogLevel;
    /// Writes one line: to the request's log if there is a request, else to the worker's. `more`: the
    /// next line of the same message follows.
    fn log(&self, stream: Option<&S>, level: LogLevel, line: &[u8], more: bool);
}

/// Spec, "Clocks".
pub trait Clocks {
    /// Nanoseconds since the Unix epoch.
    fn now(&self) -> u64;
}

/// Spec, "Timers".
pub trait Timers {
    /// Calls `proxy_on_tick` of `plugin_context` every `period` milliseconds; 0 stops the calls.
    ///
    /// # Errors
    /// `InternalFailure` where no timer can be set.
    fn set_tick_period(&mut self, plugin_context: u32, period: u32) -> Result;
}

/// Spec, "HTTP fields", on the maps of the request and the response.
pub trait HeaderMaps {
    /// Calls `field` for each name and value, in the map's order.
    ///
    /// # Errors
    /// `NotFound` outside the callbacks that may see the map.
    fn for_each_header(&self, map: MapType, field: &mut dyn FnMut(&[u8], &[u8])) -> Result;
    /// The first value of `name`, compared without case.
    ///
    /// # Errors
    /// As [`Self::for_each_header`].
    fn header(&self, map: MapType, name: &[u8]) -> Result<Option<Cow<'_, [u8]>>>;
    /// Appends a field, and keeps the fields that have the same name.
    ///
    /// # Errors
    /// As [`Self::for_each_header`]; `BadArgument` for a field that the message cannot carry.
    fn add_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result;
    /// Sets a field, in place of all fields that have the same name.
    ///
    /// # Errors
    /// As [`Self::add_header`].
    fn replace_header(&mut self, map: MapType, name: &[u8], value: &[u8]) -> Result;
    /// Removes all fields of that name; `Ok` if there are none.
    ///
    /// # Errors
    /// As [`Self::for_each_header`]; `BadArgument` for a pseudo header, which stays.
    fn remove_header(&mut self, map: MapType, name: &[u8]) -> Result;
    /// Replaces the whole map.
    ///
    /// # Errors
    /// As [`Self::add_header`].
    fn set_headers(&mut self, map: MapType, pairs: Pairs<'_>) -> Result;
}

/// Spec, "Buffers", on the bodies of the request and the response.
pub trait Buffers {
    /// The number of bytes that are in the buffer now.
    ///
    /// # Errors
    /// `NotFound` outside the callbacks that may see the buffer.
    fn buffer_size(&self, buffer: BufferType) -> Result<usize>;
    /// Fills `into` with the bytes from `start` on; the range lies inside the buffer.
    ///
    /// # Errors
    /// As [`Self::buffer_size`]; `InternalFailure` where the bytes cannot be read.
    fn read_buffer(&self, buffer: BufferType, start: usize, into: &mut [u8]) -> Result;
    /// Replaces `size` bytes at `start` by `value`; the range lies inside the buffer. To append,
    /// `start` is the buffer's size, and `size` is 0.
    ///
    /// # Errors
    /// As [`Self::read_buffer`]; `BadArgument` for a buffer that cannot be changed.
    fn replace_buffer(&mut self, buffer: BufferType, start: usize, size: usize, value: &[u8]) -> Result;
}

/// Spec, "Properties".
pub trait Properties {
    /// The value of a property; `None` when it does not exist.
    ///
    /// # Errors
    /// `InternalFailure` where the value cannot be kept.
    fn property(&mut self, path: PropertyPath<'_>) -> Result<Option<Cow<'_, [u8]>>>;
    /// Sets a property.
    ///
    /// # Errors
    /// `NotFound` for a property that cannot be set; `BadArgument` for a value that it cannot have.
    fn set_property(&mut self, path: PropertyPath<'_>, value: &[u8]) -> Result;
}

/// A response that the plugin sends in place of the upstream's.
#[derive(Clone, Copy, Debug)]
pub struct Response<'a> {
    /// HTTP status code.
    pub status: u32,
    /// The reason, for the log.
    pub details: &'a [u8],
    /// The body; empty for none.
    pub body: &'a [u8],
    /// Additional header fields.
    pub headers: Pairs<'a>,
    /// gRPC status, or -1.
    pub grpc_status: i32,
}

/// Spec, "HTTP streams": `proxy_send_local_response`.
pub trait LocalResponse {
    /// Answers the request. Takes effect when the callback has returned.
    ///
    /// # Errors
    /// `BadArgument` for a status that is not one, or where the request is over.
    fn send_local_response(&mut self, response: Response<'_>) -> Result;
}

/// Spec, "Common HTTP and TCP stream operations".
pub trait StreamControl {
    /// Resumes a paused half of the stream. Takes effect when the callback has returned.
    ///
    /// # Errors
    /// `NotFound` for a stream that is not of HTTP.
    fn continue_stream(&mut self, stream: StreamType) -> Result;
    /// Ends the stream. Takes effect when the callback has returned.
    ///
    /// # Errors
    /// As [`Self::continue_stream`].
    fn close_stream(&mut self, stream: StreamType) -> Result;
    /// Passes bytes on to the plugins behind this one, and to the client, in front of what this plugin
    /// sees or holds of the response's body; with `end`, in place of all the rest. Takes effect when
    /// the callback has returned.
    ///
    /// # Errors
    /// `BadArgument` where there is no body to add to; `InternalFailure` for more than may wait.
    fn inject_response_body(&mut self, bytes: &[u8], end: bool) -> Result;
}

/// The servers that a request may go to: an extension of the ABI that Higress has.
pub trait Upstreams {
    /// The servers, each with a JSON object that describes it.
    ///
    /// # Errors
    /// `NotFound` where they are not known.
    fn upstream_hosts(&self) -> Result<PairsBuf>;
    /// Says which server the request is to go to. One that is not among them, or not healthy then,
    /// has no effect.
    ///
    /// # Errors
    /// `InternalFailure` without memory.
    fn override_upstream_host(&mut self, address: &[u8]) -> Result;
}

/// An outgoing HTTP request.
#[derive(Clone, Copy, Debug)]
pub struct HttpCall<'a> {
    /// The server: an authority, a URI or an upstream's name.
    pub upstream: &'a [u8],
    /// Header fields, including pseudo headers.
    pub headers: Pairs<'a>,
    /// The body; empty for none.
    pub body: &'a [u8],
    /// Trailer fields.
    pub trailers: Pairs<'a>,
    /// The time for connecting, sending and reading together.
    pub timeout_ms: u32,
}

/// Spec, "HTTP calls".
pub trait HttpCalls<S> {
    /// Starts a call and returns its id. The response comes by `proxy_on_http_call_response`, never
    /// before the guest has returned.
    ///
    /// # Errors
    /// `BadArgument` for an upstream, a timeout or a field that no call can have; `InternalFailure`
    /// where no call can be made now.
    fn http_call(&mut self, origin: Origin<'_, S>, call: HttpCall<'_>) -> Result<u32>;
}

/// An outgoing gRPC call or stream.
#[derive(Clone, Copy, Debug)]
pub struct GrpcCall<'a> {
    /// The upstream: an authority, an upstream's name, or Envoy's serialized `GrpcService`.
    pub upstream: &'a [u8],
    /// The gRPC service.
    pub service: &'a [u8],
    /// The gRPC method.
    pub method: &'a [u8],
    /// Initial metadata to send.
    pub metadata: Pairs<'a>,
}

/// Spec, "gRPC calls".
pub trait GrpcCalls<S> {
    /// Starts a unary call and returns its id.
    ///
    /// # Errors
    /// `BadArgument` for an upstream, a timeout, a method or metadata that no call can have;
    /// `InternalFailure` where no call can be made now.
    fn grpc_call(&mut self, origin: Origin<'_, S>, call: GrpcCall<'_>, message: &[u8], timeout_ms: u32) -> Result<u32>;
    /// Opens a stream and returns its id.
    ///
    /// # Errors
    /// As [`Self::grpc_call`].
    fn grpc_stream(&mut self, origin: Origin<'_, S>, call: GrpcCall<'_>) -> Result<u32>;
    /// Sends a message on a stream.
    ///
    /// # Errors
    /// `NotFound` for an id that is not of a stream; `BadArgument` once the plugin has ended it;
    /// `InternalFailure` while too much waits.
    fn grpc_send(&mut self, origin: Origin<'_, S>, id: u32, message: &[u8], end_of_stream: bool) -> Result;
    /// Cancels a call or a stream.
    ///
    /// # Errors
    /// `NotFound` for an id that is not of a call or a stream.
    fn grpc_cancel(&mut self, origin: Origin<'_, S>, id: u32) -> Result;
    /// Closes a stream.
    ///
    /// # Errors
    /// As [`Self::grpc_cancel`].
    fn grpc_close(&mut self, origin: Origin<'_, S>, id: u32) -> Result;
}

/// How a plugin uses a Redis server.
#[derive(Clone, Copy, Debug)]
pub struct RedisInit<'a> {
    /// The server, as in [`RedisCalls::redis_call`], with parameters behind a `?`.
    pub server: &'a [u8],
    /// The user of the server's access control list; empty for its default user.
    pub user: &'a [u8],
    /// The password; empty for none.
    pub password: &'a [u8],
    /// The time of a call for connecting, sending and reading together.
    pub timeout_ms: u32,
}

/// Redis calls: an extension of the ABI that Higress has.
pub trait RedisCalls<S> {
    /// Says how the plugin context uses a server from now on.
    ///
    /// # Errors
    /// `BadArgument` for what is not a server; `InternalFailure` where there are too many.
    fn redis_init(&mut self, origin: Origin<'_, S>, init: RedisInit<'_>) -> Result;
    /// Sends a command, as bytes of Redis' protocol, and returns the call's id. The reply comes by
    /// `proxy_on_redis_call_response`, never before the guest has returned.
    ///
    /// # Errors
    /// `BadArgument` for what is not a server, or not one command; `InternalFailure` where no call
    /// can be made now.
    fn redis_call(&mut self, origin: Origin<'_, S>, server: &[u8], command: &[u8]) -> Result<u32>;
}

/// Spec, "Shared Key-Value Store".
pub trait SharedData {
    /// Appends the value to `value`, and returns its CAS number.
    ///
    /// # Errors
    /// `NotFound` for a key that has no value.
    fn shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &mut Vec<u8>) -> Result<u32>;
    /// Sets a value; a `cas` of 0 sets it whatever its number is.
    ///
    /// # Errors
    /// `CasMismatch` where the value has another number; `InternalFailure` where there is no room.
    fn set_shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32) -> Result;
    /// As [`Self::set_shared_data`], for a value that expires.
    ///
    /// # Errors
    /// As [`Self::set_shared_data`].
    fn set_expiring_shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32, ttl: Duration) -> Result;
    /// Deletes a key and its value.
    ///
    /// # Errors
    /// `NotFound` for a key that has no value.
    fn delete_shared_data(&mut self, vm_id: &[u8], key: &[u8]) -> Result;
    /// Calls `key` for some of the keys that begin with a prefix, from a cursor on, which is 0 at the
    /// beginning. Returns the next cursor; 0 at the end.
    ///
    /// # Errors
    /// `InternalFailure` where there is no store.
    fn shared_data_keys(&mut self, vm_id: &[u8], prefix: &[u8], cursor: u64, key: &mut dyn FnMut(&[u8]))
    -> Result<u64>;
}

/// Spec, "Shared Queues".
pub trait SharedQueues {
    /// Makes or opens a queue, and notifies the plugin context `listener`, if there is one, when the
    /// queue has items.
    ///
    /// # Errors
    /// `InternalFailure` where there is no room for a queue.
    fn register_queue(&mut self, listener: Option<u32>, vm_id: &[u8], name: &[u8]) -> Result<u32>;
    /// Finds a queue.
    ///
    /// # Errors
    /// `NotFound` where there is no such queue.
    fn resolve_queue(&mut self, vm_id: &[u8], name: &[u8]) -> Result<u32>;
    /// Appends an item.
    ///
    /// # Errors
    /// `NotFound` where there is no such queue; `InternalFailure` where there is no room.
    fn enqueue(&mut self, queue: u32, value: &[u8]) -> Result;
    /// Takes the oldest item and appends it to `value`.
    ///
    /// # Errors
    /// `NotFound` where there is no such queue; `Empty` where it has no item.
    fn dequeue(&mut self, queue: u32, value: &mut Vec<u8>) -> Result;
}

/// Spec, "Metrics".
pub trait Metrics {
    /// Makes or finds a metric. One name may be a metric of each kind.
    ///
    /// # Errors
    /// `InternalFailure` where there is no room.
    fn define_metric(&mut self, kind: MetricType, name: &[u8]) -> Result<u32>;
    /// The value of a counter or gauge.
    ///
    /// # Errors
    /// `NotFound` where there is no such metric; `BadArgument` for a histogram.
    fn metric(&mut self, id: u32) -> Result<u64>;
    /// Sets a gauge or counter, or records a value in a histogram.
    ///
    /// # Errors
    /// `NotFound` where there is no such metric; `BadArgument` for a counter that would fall.
    fn record_metric(&mut self, id: u32, value: u64) -> Result;
    /// Adds to a counter or gauge.
    ///
    /// # Errors
    /// `NotFound` where there is no such metric; `BadArgument` for a histogram, and for a counter
    /// that would fall.
    fn increment_metric(&mut self, id: u32, offset: i64) -> Result;
}

/// Spec, "Foreign function interface".
pub trait ForeignFunctions<S> {
    /// Calls a function of the host by its name.
    ///
    /// # Errors
    /// `NotFound` where there is no such function; `BadArgument` for arguments that it cannot take.
    fn call_foreign_function(&mut self, origin: Origin<'_, S>, name: &[u8], arguments: &[u8]) -> Result<Vec<u8>>;
}

/// A function that a signature's text is hashed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The function of a name, such as `sha256`, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        match &*name.to_ascii_lowercase() {
            "sha1" => Some(Self::Sha1),
            "sha224" => Some(Self::Sha224),
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// A key that a plugin brings: a public one as SubjectPublicKeyInfo, a private one as PKCS #8.
#[derive(Clone, Copy, Debug)]
pub enum Key<'a> {
    /// Its bytes.
    Der(&'a [u8]),
    /// Its text.
    Pem(&'a [u8]),
}

/// Signatures by RSA (PKCS #1) and ECDSA. A host without them keeps the defaults.
pub trait Signatures {
    /// Returns whether a signature is right. It is not if there is no such hash.
    ///
    /// # Errors
    /// `BadArgument` for a key that cannot be read.
    fn verify_signature(&self, _hash: Option<Hash>, _key: Key<'_>, _signature: &[u8], _text: &[u8]) -> Result<bool> {
        Err(Status::NotFound)
    }

    /// Signs a text; `None` if that fails, or there is no such hash.
    ///
    /// # Errors
    /// `BadArgument` for a key that cannot be read.
    fn sign(&self, _hash: Option<Hash>, _key: Key<'_>, _text: &[u8]) -> Result<Option<Vec<u8>>> {
        Err(Status::NotFound)
    }
}
