//! A connection of nginx as hyper reads and writes one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use ngx_bindings::connection::Connection;

use crate::connections::Place;

/// A connection to a server, TLS or not.
pub struct Transport {
    /// Closed before its place is left.
    pub connection: Connection,
    pub _place: Place,
}

impl Read for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // SAFETY: `poll_read` only writes into the buffer, and tells how much.
        unsafe {
            let n = ready!(self.connection.poll_read(cx, buf.as_mut()))?;
            buf.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.poll_write(cx, bytes)
    }

    /// nginx writes at once, and so does OpenSSL.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// The connection is closed when it is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
