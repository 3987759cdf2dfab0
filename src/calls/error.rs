//! Why a call to another server failed, in the words of the log line.

use std::error::Error;
use std::fmt;
use std::io;

use ngx_bindings::resolver::ResolveError;
use ngx_bindings::ssl::TlsError;
use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::{Dialect, HttpCallResponse};

/// Why a call failed.
#[derive(Debug)]
pub enum CallError {
    /// The call took longer than its timeout.
    Timeout,
    /// The host has no address.
    Resolve(String, ResolveError),
    /// No server of the `upstream` block can be tried.
    NoLiveServers(String),
    /// The connection to the server could not be made.
    Connect(io::Error),
    /// TLS with the server failed, or the server's certificate is not trusted.
    Tls(TlsError),
    /// The server does not speak HTTP/2, which gRPC needs.
    NoHttp2,
    /// The connection to a Redis server broke, or there is none any more.
    Broken(io::Error),
    /// The server sent something that is not a reply of Redis.
    NotRedis,
    /// The connection broke, or the server sent something that is not valid HTTP.
    Http(hyper::Error),
    /// Lua's HTTP library made the call; this is its error message.
    Lua(String),
    /// The worker keeps too many bytes for the plugin already (`wasm_host_memory`,
    /// `wasm_worker_memory`).
    HostMemory,
    /// The response is larger than `wasm_call_response_limit`.
    TooLarge(usize),
}

impl CallError {
    /// Returns what a plugin gets in place of a response. As in Envoy, that is a response of the
    /// host: 504 after a timeout, else 503, with the reason as the body. The C module's plugins get
    /// no fields and no body.
    pub fn response(&self, dialect: Dialect) -> HttpCallResponse {
        let dispatch_status = Some(self.dispatch_status());
        if dialect == Dialect::CModule {
            return HttpCallResponse { dispatch_status, ..HttpCallResponse::default() };
        }
        let (status, reason) = match self {
            Self::Timeout => ("504", "upstream request timeout".to_owned()),
            error => ("503", format!("upstream connect error or disconnect/reset before headers: {error}")),
        };
        let mut headers = PairsBuf::default();
        headers.push(b":status", status.as_bytes());
        headers.push(b"content-length", reason.len().to_string().as_bytes());
        headers.push(b"content-type", b"text/plain");
        HttpCallResponse { headers, body: reason.into_bytes(), trailers: PairsBuf::default(), dispatch_status }
    }

    /// The cause of the failure, in Kong's words.
    fn dispatch_status(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Resolve(..) => "resolver failure",
            Self::Connect(_) | Self::Broken(_) | Self::NoLiveServers(_) | Self::Http(_) => "broken connection",
            Self::Tls(_) => "tls handshake failure",
            Self::NoHttp2 | Self::NotRedis | Self::TooLarge(_) => "reader failure",
            Self::Lua(_) | Self::HostMemory => "unknown failure",
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Resolve(host, error @ ResolveError::NoResolver) => write!(f, "{error} to resolve {host}"),
            Self::Resolve(host, error) => write!(f, "{host} could not be resolved ({error})"),
            Self::NoLiveServers(upstream) => write!(f, "no live servers in upstream \"{upstream}\""),
            Self::Connect(error) | Self::Broken(error) => of_system(f, error),
            Self::Tls(error) => error.fmt(f),
            Self::NotRedis => f.write_str("the server does not speak the protocol of Redis"),
            Self::NoHttp2 => f.write_str("the server does not speak HTTP/2"),
            Self::Http(error) => of_http(f, error),
            Self::Lua(reason) => f.write_str(reason),
            Self::HostMemory => f.write_str("too much is kept for the plugin"),
            Self::TooLarge(limit) => write!(f, "response larger than {limit} bytes"),
        }
    }
}

impl Error for CallError {}

/// Writes a system error in the words that users of the C module know.
fn of_system(f: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => f.write_str("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => f.write_str("connection reset by peer"),
        // The same words for a connection that ends in the middle of a response as for one that
        // ends before it.
        io::ErrorKind::UnexpectedEof => f.write_str("connection closed"),
        io::ErrorKind::TimedOut => f.write_str("timeout"),
        _ => f.write_str(error.to_string().split(" (os error").next().unwrap_or_default()),
    }
}

/// Writes the cause of hyper's error. hyper's own message says only what hyper was doing.
fn of_http(f: &mut fmt::Formatter<'_>, error: &hyper::Error) -> fmt::Result {
    if error.is_incomplete_message() {
        return f.write_str("connection closed");
    }
    match error.source() {
        Some(cause) => match cause.downcast_ref::<io::Error>() {
            Some(cause) => of_system(f, cause),
            None => write!(f, "{error}: {cause}"),
        },
        None => write!(f, "{error}"),
    }
}
