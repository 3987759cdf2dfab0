//! How a gRPC call ended.

use std::fmt::Display;

use http::{HeaderMap, StatusCode};

/// A gRPC status with its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The code: <https://grpc.io/docs/guides/status-codes/>
    pub code: u32,
    /// The message; may be empty.
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

    /// Returns whether the call succeeded.
    pub fn is_ok(&self) -> bool {
        self.code == OK
    }

    /// Reads the status from trailers, or from the header of a response that has no body and no
    /// trailers.
    pub fn of_fields(fields: &HeaderMap) -> Option<Self> {
        let code = fields.get("grpc-status")?.to_str().ok().and_then(|code| code.parse().ok()).unwrap_or(UNKNOWN);
        let message = fields.get("grpc-message").map(|message| percent_decode(message.as_bytes()));
        Some(Self::new(code, message.unwrap_or_default()))
    }

    /// Converts the status of a response that is not gRPC; `None` if the response may be gRPC:
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

    /// The connection could not be made, or broke.
    pub fn unavailable(error: &dyn Display) -> Self {
        Self::new(UNAVAILABLE, error.to_string())
    }

    /// The call took longer than the plugin allowed.
    pub fn deadline_exceeded() -> Self {
        Self::new(DEADLINE_EXCEEDED, "timeout")
    }

    /// The server did not follow the protocol.
    pub fn internal(reason: &str) -> Self {
        Self::new(INTERNAL, reason)
    }

    /// A message is larger than this host accepts.
    pub fn resource_exhausted(size: usize, limit: usize) -> Self {
        Self::new(RESOURCE_EXHAUSTED, format!("message of {size} bytes, larger than {limit}"))
    }

    /// The worker keeps too many bytes for the plugin.
    pub fn host_memory() -> Self {
        Self::new(RESOURCE_EXHAUSTED, "too much is kept for the plugin")
    }

    /// The response ended without a status.
    pub fn missing() -> Self {
        Self::new(UNKNOWN, "no grpc-status received")
    }
}

/// Decodes gRPC's percent-encoding of a message. Text that is not encoded correctly stays as it is.
fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let byte = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &tail[2..] } else { tail };
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_server_says_it_in_fields() {
        let said = fields(&[("grpc-status", "5"), ("grpc-message", "no%20such%0athing%C3%A9")]);
        assert_eq!(Status::of_fields(&said), Some(Status::new(5, "no such\nthing\u{e9}")));
        assert_eq!(Status::of_fields(&fields(&[("grpc-status", "0")])), Some(Status::new(OK, "")));
        assert_eq!(Status::of_fields(&fields(&[("grpc-message", "x")])), None);
    }

    #[test]
    fn a_status_that_is_not_a_number_is_unknown() {
        for status in ["", "x", "-1", "4294967296", "1.0"] {
            let said = fields(&[("grpc-status", status)]);
            assert_eq!(Status::of_fields(&said).unwrap().code, UNKNOWN, "{status}");
        }
    }

    #[test]
    fn what_is_not_encoded_right_stays() {
        for (text, expected) in
            [("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%+1", "%+1"), ("a%41%", "aA%"), ("%25%32", "%2")]
        {
            assert_eq!(percent_decode(text.as_bytes()), expected.as_bytes(), "{text}");
        }
    }

    #[test]
    fn a_status_of_http_stands_for_one_of_grpc() {
        let of = |status| Status::of_http(StatusCode::from_u16(status).unwrap()).map(|status| status.code);
        assert_eq!([200, 401, 404, 503, 500].map(of), [None, Some(16), Some(12), Some(14), Some(2)]);
    }
}
