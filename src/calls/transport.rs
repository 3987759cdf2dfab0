//! A connection of nginx, as hyper reads and writes it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use ngx_bindings::connection::Connection;

use crate::connections::Place;

/// A connection to a server, with or without TLS.
pub struct Transport {
    /// The connection. It is the first field, so that it is closed before its place is given back.
    pub connection: Connection,
    pub _place: Place,
}

impl Read for Transport {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // SAFETY: `poll_read` only writes into the buffer.
        let into = unsafe { buf.as_mut() };
        let n = ready!(self.connection.poll_read(cx, into))?;
        // SAFETY: it has written so many bytes.
        unsafe { buf.advance(n) };
        Poll::Ready(Ok(()))
    }
}

impl Write for Transport {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.connection.poll_write(cx, bytes)
    }

    /// Nothing to flush: nginx and OpenSSL write at once.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Nothing to shut down: dropping the connection closes it.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
