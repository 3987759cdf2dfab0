//! How a call ended.

use http::{HeaderMap, StatusCode};

use super::super::error::CallError;

/// A status of gRPC, with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// <https://grpc.io/docs/guides/status-codes/>
    pub code: u32,
    /// May be empty.
    pub message: Vec<u8>,
}

const OK: u32 = 0;
const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

impl Status {
    fn new(code: u32, message: impl Into<Vec<u8>>) -> Self {
        Self { code, message: message.into() }
    }

    /// Whether the call succeeded.
    pub fn is_ok(&self) -> bool {
        self.code == OK
    }

    /// What the server says in its trailers, or in the header of a response that has nothing else.
    pub fn of_fields(fields: &HeaderMap) -> Option<Self> {
        let code = fields.get("grpc-status")?.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN);
        let message = fields.get("grpc-message").map(|message| percent_decode(message.as_bytes()));
        Some(Self::new(code, message.unwrap_or_default()))
    }

    /// What a response means that is not one of gRPC; `None` for one that may be:
    /// <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>.
    pub fn of_http(status: StatusCode) -> Option<Self> {
        let code = match status.as_u16() {
            200 => return None,
            400 => INTERNAL,
            401 => UNAUTHENTICATED,
            403 => PERMISSION_DENIED,
            404 => UNIMPLEMENTED,
            429 | 502..=504 => UNAVAILABLE,
            _ => UNKNOWN,
        };
        Some(Self::new(code, format!("HTTP status {}", status.as_u16())))
    }

    /// There was no connection, or it broke down.
    pub fn unavailable(error: &CallError) -> Self {
        Self::new(UNAVAILABLE, error.to_string())
    }

    /// It took longer than the plugin gave it.
    pub fn deadline_exceeded() -> Self {
        Self::new(DEADLINE_EXCEEDED, "timeout")
    }

    /// The server does not keep to the protocol.
    pub fn internal(reason: &str) -> Self {
        Self::new(INTERNAL, reason)
    }

    /// A message is too large for this host.
    pub fn resource_exhausted(size: usize, limit: usize) -> Self {
        Self::new(RESOURCE_EXHAUSTED, format!("message of {size} bytes, larger than {limit}"))
    }

    /// The response ended without a status.
    pub fn missing() -> Self {
        Self::new(UNKNOWN, "no grpc-status received")
    }
}

/// Undoes gRPC's encoding of a message; what is not encoded right stays as it is.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let byte = match rest {
            [b'%', high, low, ..] => {
                str::from_utf8(&[*high, *low]).ok().and_then(|hex| u8::from_str_radix(hex, 16).ok())
            }
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    decoded
}
