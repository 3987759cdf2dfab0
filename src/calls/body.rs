//! The body of an outgoing request: bytes that are all there, and trailers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// A body that is sent with its length; in chunks where trailers follow.
#[derive(Clone, Debug, Default)]
pub struct CallBody {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl CallBody {
    /// A body; no bytes are none.
    pub fn new(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), trailers }
    }

    /// What is still to be sent, but for trailers.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// Whether fields follow.
    pub fn has_trailers(&self) -> bool {
        self.trailers.is_some()
    }
}

impl Body for CallBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.bytes.take().map(Frame::data).or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.trailers {
            // HTTP/1.1 has trailers only behind chunks, which hyper sends where it is not told a length.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
