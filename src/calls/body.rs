//! The body of an outgoing request: bytes that are all in memory, and trailers.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// A request body. hyper sends it with its length, or in chunks if trailers follow.
#[derive(Clone, Debug, Default)]
pub struct CallBody {
    bytes: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl CallBody {
    /// Makes a body; empty bytes count as no body.
    pub fn new(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), trailers }
    }

    /// Returns the bytes that are not sent yet, without the trailers.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }

    /// Whether trailers follow the body.
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
            // HTTP/1.1 allows trailers only after chunks, and hyper sends chunks if it is not told
            // a length.
            Some(_) => SizeHint::default(),
            None => SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
