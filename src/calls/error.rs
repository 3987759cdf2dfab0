//! Why a call to another server failed, in the words of its log line.

use std::error::Error;
use std::fmt;
use std::io;

use ngx_bindings::resolver::ResolveError;
use ngx_bindings::ssl::TlsError;

/// Why a call failed.
#[derive(Debug)]
pub enum CallError {
    /// It took longer than the plugin gave it.
    Timeout,
    /// The host has no address.
    Resolve(String, ResolveError),
    /// No server of the `upstream` block can be tried.
    NoLiveServers(String),
    /// There is no connection to the server.
    Connect(io::Error),
    /// There is no TLS with the server, or none that can be trusted.
    Tls(TlsError),
    /// The server does not speak HTTP/2, which gRPC needs.
    NoHttp2,
    /// The connection, or what the server sends on it, broke down.
    Http(hyper::Error),
    /// Lua's HTTP library made the call: what it says.
    Lua(String),
    /// Too much is kept for the plugin.
    HostMemory,
    /// The response is larger than `wasm_call_response_limit`.
    TooLarge(usize),
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("timeout"),
            Self::Resolve(host, error @ ResolveError::NoResolver) => write!(f, "{error} to resolve {host}"),
            Self::Resolve(host, error) => write!(f, "{host} could not be resolved ({error})"),
            Self::NoLiveServers(upstream) => write!(f, "no live servers in upstream \"{upstream}\""),
            Self::Connect(error) => of_system(f, error),
            Self::Tls(error) => error.fmt(f),
            Self::NoHttp2 => f.write_str("the server does not speak HTTP/2"),
            Self::Http(error) => of_http(f, error),
            Self::Lua(reason) => f.write_str(reason),
            Self::HostMemory => f.write_str("too much is kept for the plugin"),
            Self::TooLarge(limit) => write!(f, "response larger than {limit} bytes"),
        }
    }
}

impl Error for CallError {}

/// As the C module's users know them.
fn of_system(f: &mut fmt::Formatter<'_>, error: &io::Error) -> fmt::Result {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => f.write_str("connection refused"),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => f.write_str("connection reset by peer"),
        // In the middle of a response, as before it.
        io::ErrorKind::UnexpectedEof => f.write_str("connection closed"),
        io::ErrorKind::TimedOut => f.write_str("timeout"),
        _ => f.write_str(error.to_string().split(" (os error").next().unwrap_or_default()),
    }
}

/// hyper says what it was doing; what went wrong is the cause.
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
