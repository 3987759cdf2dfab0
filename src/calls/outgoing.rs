//! A call as the plugin described it, checked and ready to be sent.

use std::cell::RefCell;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Uri};
use hyper::body::Bytes;
use proxy_wasm_host::Dialect;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::HttpCall;
use proxy_wasm_host::limits::calls as limits;
use proxy_wasm_host::outgoing::target::has_host_length;
use proxy_wasm_host::outgoing::{Names, NoServer, Target, TlsServer};
use proxy_wasm_host::pairs::Pairs;

use super::body::CallBody;
use super::error::CallError;
use crate::host_memory::{Held, HostMemory};

/// A checked call.
#[derive(Debug)]
pub struct Outgoing {
    /// The server to call.
    pub target: Target,
    /// How TLS is spoken with the server; `None` without TLS.
    pub tls: Option<TlsServer>,
    /// The time for connecting, sending and reading together, in milliseconds.
    pub timeout: u32,
    method: Method,
    path: PathAndQuery,
    headers: HeaderMap,
    body: CallBody,
    /// The URI, for the log.
    uri: String,
    memory: HostMemory,
    held: RefCell<Held>,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadCall {
    /// The upstream is not a server.
    Host(NoServer),
    /// The timeout is negative, read as the signed number that plugins pass.
    Timeout(i32),
    /// A pseudo header that each call must have.
    Missing(&'static str),
    /// A pseudo header or a field that HTTP cannot carry.
    Field(Vec<u8>),
    /// The worker keeps too many bytes for the plugin already.
    Memory(Status),
}

/// Fields about one connection, which the host sets itself. `Expect` is among them: it would cost a
/// round trip, although the whole body is here already.
const OF_THE_CONNECTION: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Outgoing {
    /// Checks a call. Plugins of the C module may leave out pseudo headers, for which there are
    /// defaults.
    pub fn new(call: &HttpCall<'_>, memory: HostMemory, names: &Names<'_>, dialect: Dialect) -> Result<Self, BadCall> {
        let size = call.body.len() + call.headers.size() + call.trailers.size() + limits::CALL;
        let held = memory.take(size).map_err(BadCall::Memory)?;
        let server = names.find(call.upstream).map_err(BadCall::Host)?;
        let timeout = match call.timeout_ms as i32 {
            negative @ ..0 => return Err(BadCall::Timeout(negative)),
            0 => limits::DEFAULT_TIMEOUT,
            _ => call.timeout_ms,
        };
        let authority = call.headers.get(b":authority").or_else(|| call.headers.get(b"host"));
        if dialect != Dialect::CModule {
            let needed = [
                (":method", call.headers.get(b":method")),
                (":path", call.headers.get(b":path")),
                (":authority", authority),
            ];
            if let Some((name, _)) = needed.iter().find(|(_, value)| value.is_none()) {
                return Err(BadCall::Missing(name));
            }
        }
        let pseudo = |name: &'static str, default: &'static [u8]| match call.headers.get(name.as_bytes()) {
            Some(value) if !value.is_empty() => value,
            _ => default,
        };
        let bad = |name: &str| BadCall::Field(name.as_bytes().to_vec());
        let https = match pseudo(":scheme", b"http") {
            scheme if scheme.eq_ignore_ascii_case(b"https") => true,
            scheme if scheme.eq_ignore_ascii_case(b"http") => false,
            _ => return Err(bad(":scheme")),
        };
        let method = Method::from_bytes(pseudo(":method", b"GET")).map_err(|_| bad(":method"))?;
        let path = match pseudo(":path", b"/") {
            path if path.starts_with(b"/") || path == b"*" => PathAndQuery::try_from(path),
            path if dialect == Dialect::CModule => PathAndQuery::try_from([b"/", path].concat()),
            _ => return Err(bad(":path")),
        };
        let path = path.map_err(|_| bad(":path"))?;
        let authority = authority.filter(|value| !value.is_empty()).unwrap_or(match server.target {
            // The path of a socket in the file system is not a host name.
            Target::Unix(_) => b"localhost",
            _ => call.upstream,
        });
        let authority = server.authority().map_or(authority, str::as_bytes);
        let tls = server.tls(https, &String::from_utf8_lossy(authority));
        let mut headers = fields(call.headers)?;
        let host = HeaderValue::from_bytes(authority).map_err(|_| bad(":authority"))?;
        headers.try_insert(header::HOST, host).map_err(|_| bad("host"))?;
        let trailers = fields(call.trailers)?;
        for name in trailers.keys() {
            headers.try_append(header::TRAILER, name.clone().into()).map_err(|_| bad("trailer"))?;
        }
        if tls.as_ref().is_some_and(|tls| !has_host_length(&tls.name)) {
            return Err(bad(":authority"));
        }
        Ok(Self {
            uri: format!("{}://{}{path}", if tls.is_some() { "https" } else { "http" }, call.upstream.escape_ascii()),
            tls,
            target: server.target,
            timeout,
            method,
            path,
            headers,
            memory,
            held: RefCell::new(held),
            body: CallBody::new(Bytes::copy_from_slice(call.body), (!trailers.is_empty()).then_some(trailers)),
        })
    }

    /// Makes the request, to be sent over HTTP/1.1.
    pub fn request(&self) -> Request<CallBody> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = Uri::from(self.path.clone());
        *request.headers_mut() = self.headers.clone();
        request
    }

    /// Whether the request may be sent again if it is not known whether the server has acted on it
    /// (RFC 9110, section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        self.method.is_idempotent()
    }

    /// The method: `GET`, unless the plugin set another one.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// The path with the query.
    pub fn path(&self) -> &str {
        self.path.as_str()
    }

    /// The fields, including `host`.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The body, which may be empty.
    pub fn body(&self) -> &[u8] {
        self.body.bytes()
    }

    /// Whether trailers follow the body.
    pub fn has_trailers(&self) -> bool {
        self.body.has_trailers()
    }

    /// Counts bytes of the response. They are kept until the plugin has received the response.
    ///
    /// # Errors
    /// `HostMemory` if the worker keeps too many bytes for the plugin already.
    pub fn keep(&self, bytes: usize) -> Result<(), CallError> {
        self.held.borrow_mut().grow(bytes).map_err(|_| CallError::HostMemory)
    }

    /// The plugin's account of kept bytes.
    pub fn memory(&self) -> HostMemory {
        self.memory
    }

    /// The URI, for the log.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// The port that is used if the plugin named none.
    pub fn default_port(&self) -> u16 {
        if self.tls.is_some() { 443 } else { 80 }
    }
}

/// Returns the fields of a map that are not pseudo headers. A `HeaderMap` holds about 24,000
/// fields: `try_append` refuses more, `append` would panic.
fn fields(pairs: Pairs<'_>) -> Result<HeaderMap, BadCall> {
    let mut fields = HeaderMap::default();
    for (name, value) in pairs.iter().filter(|(name, _)| !name.starts_with(b":")) {
        let bad = || BadCall::Field(name.to_vec());
        let key = HeaderName::from_bytes(name).map_err(|_| bad())?;
        if !OF_THE_CONNECTION.contains(&key) {
            let value = HeaderValue::from_bytes(value).map_err(|_| bad())?;
            fields.try_append(key, value).map_err(|_| bad())?;
        }
    }
    Ok(fields)
}
