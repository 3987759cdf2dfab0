//! `ngx_connection.h`, `ngx_event_connect.h`: a connection to another server, on nginx's event
//! loop.

use std::ffi::c_int;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::{MaybeUninit, offset_of};
use std::task::{Context, Poll, Waker};

use nginx_sys::{
    self as sys, ngx_connection_t, ngx_event_t, ngx_log_t, ngx_peer_connection_t, ngx_pool_t, ngx_ssl_connection_t,
    ngx_str_t, socklen_t,
};

use crate::guard::guard;
use crate::inet::{Address, SocketAddress};
use crate::live::{Live, zeroed};
use crate::{Log, cycle, event, rc, string};

/// The size of a connection's pool in bytes: nginx allocates a little for TLS.
const POOL_SIZE: usize = 256;

/// A connection to another server. Dropping it closes it.
///
/// nginx's events only wake the tasks that last polled the connection for reading and for writing;
/// they never run anything else.
pub struct Connection(Live<'static, Peer>);

/// The object that nginx's connection points back at; it must not move.
struct Peer {
    peer: ngx_peer_connection_t,
    address: SocketAddress,
    /// `peer.name` points at `name`, and `name` at `text`. nginx's error lines show it.
    name: ngx_str_t,
    text: String,
    pool: *mut ngx_pool_t,
    /// Whether the server is on this machine, behind a path in the file system.
    is_local: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Connection {
    /// Starts to connect, with the worker's log; [`Self::connected`] returns the outcome.
    ///
    /// # Errors
    ///
    /// The error that the system reports at once.
    pub fn open(address: &Address) -> io::Result<Self> {
        cycle::with_log(|log| Self::open_with(address, log)).unwrap_or(Err(ErrorKind::NotConnected.into()))
    }

    fn open_with(address: &Address, log: Log) -> io::Result<Self> {
        let (raw, len) = SocketAddress::new(address).ok_or(ErrorKind::InvalidInput)?;
        // SAFETY: the log outlives the process's connections.
        let pool = unsafe { sys::ngx_create_pool(POOL_SIZE, log.as_ptr()) };
        if pool.is_null() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let (name, text) = (ngx_str_t::empty(), address.to_string());
        let peer = Box::new(Peer {
            peer: zeroed(),
            address: raw,
            name,
            text,
            pool,
            is_local: matches!(address, Address::Unix(_)),
            reader: None,
            writer: None,
        });
        let mut this = Self(Box::leak(peer).into());
        this.connect(len, log)?;
        Ok(this)
    }

    fn connect(&mut self, len: socklen_t, log: Log) -> io::Result<()> {
        // nginx keeps pointers into the object until `drop` closes the connection.
        let place = self.0.as_ptr();
        let this = self.peer_mut();
        this.name = string::borrowed(this.text.as_bytes());
        this.peer.sockaddr = place.wrapping_byte_add(offset_of!(Peer, address)).cast();
        this.peer.socklen = len;
        this.peer.name = place.wrapping_byte_add(offset_of!(Peer, name)).cast();
        this.peer.get = Some(sys::ngx_event_get_peer);
        this.peer.log = log.as_ptr();
        // Errors go to the code that made the connection, which knows what it was for.
        this.peer.set_log_error(sys::ngx_connection_log_error_e_NGX_ERROR_INFO);
        // SAFETY: the peer is prepared.
        match unsafe { sys::ngx_event_connect_peer(&raw mut this.peer) } {
            rc::OK | rc::AGAIN => {}
            // The server could not be reached. nginx has closed the socket, which may have changed
            // errno.
            rc::DECLINED => return Err(last_error(ErrorKind::ConnectionRefused)),
            // There is no free descriptor, or none of `worker_connections`; nginx has logged which.
            _ => return Err(io::Error::other("no connection could be made")),
        }
        let pool = this.pool;
        self.live().get_mut().data = place.cast();
        self.live().get_mut().pool = pool;
        self.take_back_events();
        Ok(())
    }

    /// Waits until the server has accepted the connection.
    ///
    /// # Errors
    ///
    /// The system's error, for example that the server refused the connection.
    pub async fn connected(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_connected(cx)).await
    }

    fn poll_connected(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (read, write) = (self.live().read_event().get(), self.live().write_event().get());
        if write.ready() == 0 && read.ready() == 0 && read.pending_eof() == 0 {
            self.wait_for_writing(cx);
            return Poll::Pending;
        }
        self.socket_error()?;
        // Send small messages at once: waiting for more data to send with them costs time.
        if !self.peer().is_local {
            // SAFETY: the connection is open.
            unsafe { sys::ngx_tcp_nodelay(self.as_ptr()) };
        }
        Poll::Ready(Ok(()))
    }

    /// Takes the error that the system has kept for the socket.
    fn socket_error(&self) -> io::Result<()> {
        let (mut error, fd) = (0, self.live().get().fd);
        let (into, mut size) = ((&raw mut error).cast(), size_of_val(&error) as socklen_t);
        // SAFETY: the system writes no more bytes than the number has.
        let got = unsafe { sys::getsockopt(fd, sys::SOL_SOCKET as _, sys::SO_ERROR as _, into, &raw mut size) };
        match (got, error) {
            (-1, _) => Err(io::Error::last_os_error()),
            (_, 0) => Ok(()),
            (_, error) => Err(io::Error::from_raw_os_error(error)),
        }
    }

    /// Reads received bytes; 0 bytes mean the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [MaybeUninit<u8>]) -> Poll<io::Result<usize>> {
        let Some(recv) = self.live().get().recv else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        // SAFETY: the connection is open; nginx writes no more bytes than it is told.
        match unsafe { recv(self.as_ptr(), into.as_mut_ptr().cast(), into.len()) } {
            n @ 0.. => Poll::Ready(Ok(n as usize)),
            AGAIN => {
                if self.live().read_event().handle_read() != rc::OK {
                    return Poll::Ready(Err(ErrorKind::Other.into()));
                }
                self.wait_for_reading(cx);
                Poll::Pending
            }
            _ => Poll::Ready(Err(last_error(ErrorKind::ConnectionReset))),
        }
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let Some(send) = self.live().get().send else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        // SAFETY: the connection is open; nginx only reads the bytes.
        match unsafe { send(self.as_ptr(), bytes.as_ptr().cast_mut(), bytes.len()) } {
            n @ 1.. => Poll::Ready(Ok(n as usize)),
            AGAIN => {
                if self.live().write_event().handle_write() != rc::OK {
                    return Poll::Ready(Err(ErrorKind::Other.into()));
                }
                self.wait_for_writing(cx);
                Poll::Pending
            }
            _ => Poll::Ready(Err(last_error(ErrorKind::BrokenPipe))),
        }
    }

    fn peer(&self) -> &Peer {
        self.0.get()
    }

    fn peer_mut(&mut self) -> &mut Peer {
        self.0.get_mut()
    }

    pub(crate) fn as_ptr(&self) -> *mut ngx_connection_t {
        self.peer().peer.connection
    }

    /// nginx's connection, which is open, because [`Self::open`] has returned.
    fn live(&self) -> Live<'_, ngx_connection_t> {
        // SAFETY: the connection is closed when this is dropped.
        unsafe { Live::of(self.as_ptr()) }
    }

    pub(crate) fn log(&self) -> *mut ngx_log_t {
        self.peer().peer.log
    }

    /// nginx's part of a TLS connection; `None` without TLS.
    pub(crate) fn ssl(&self) -> Option<Live<'_, ngx_ssl_connection_t>> {
        // SAFETY: null, or valid as long as the connection is open.
        unsafe { Live::new(self.live().get().ssl) }
    }

    /// Makes nginx's read and write events wake the reader and the writer again, after other code
    /// has used the events.
    pub(crate) fn take_back_events(&mut self) {
        self.live().read_event().get_mut().handler = Some(on_read);
        self.live().write_event().get_mut().handler = Some(on_write);
    }

    pub(crate) fn wait_for_reading(&mut self, cx: &Context<'_>) {
        self.peer_mut().reader = Some(cx.waker().clone());
    }

    fn wait_for_writing(&mut self, cx: &Context<'_>) {
        self.peer_mut().writer = Some(cx.waker().clone());
    }

    fn close(&mut self) {
        if let Some(mut ssl) = self.ssl() {
            // Closes as nginx closes kept connections: without waiting for, or sending, a TLS close
            // message.
            ssl.get_mut().set_no_wait_shutdown(1);
            ssl.get_mut().set_no_send_shutdown(1);
            // SAFETY: the connection is open.
            unsafe { sys::ngx_ssl_shutdown(self.as_ptr()) };
        }
        // SAFETY: as above.
        unsafe { sys::ngx_close_connection(self.as_ptr()) };
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.as_ptr().is_null() {
            self.close();
        }
        // SAFETY: only the connection pointed at the object, and it is closed.
        let peer = unsafe { Box::from_raw(self.0.as_ptr()) };
        // SAFETY: as above; nothing else uses the pool.
        unsafe { sys::ngx_destroy_pool(peer.pool) };
    }
}

impl<'a> Live<'a, ngx_connection_t> {
    pub(crate) fn read_event(self) -> Live<'a, ngx_event_t> {
        // SAFETY: every connection has a read event, for as long as its own structure.
        unsafe { Live::of(self.get().read) }
    }

    pub(crate) fn write_event(self) -> Live<'a, ngx_event_t> {
        // SAFETY: the same is true of its write event.
        unsafe { Live::of(self.get().write) }
    }
}

/// Takes one of nginx's connections for a descriptor, with the worker's log. `None` if none is free,
/// or the process has no event loop. nginx keeps their structures for as long as the process.
pub(crate) fn take(descriptor: c_int) -> Option<Live<'static, ngx_connection_t>> {
    if !event::is_looping() {
        return None;
    }
    cycle::with_log(|log| {
        // SAFETY: the process has nginx's event loop; the log is that of the cycle it serves.
        let connection = unsafe { sys::ngx_get_connection(descriptor, log.as_ptr()) };
        // SAFETY: null, or one of nginx's connections.
        let connection = unsafe { Live::new(connection) }?;
        for mut event in [connection.read_event(), connection.write_event()] {
            event.get_mut().log = log.as_ptr();
        }
        Some(connection)
    })?
}

/// The result of `recv` and `send` when there is nothing to do now.
const AGAIN: isize = rc::AGAIN;

/// The system's last error, or `otherwise` if there is none.
fn last_error(otherwise: ErrorKind) -> io::Error {
    let error = io::Error::last_os_error();
    if error.raw_os_error().is_none_or(|code| code == 0) { otherwise.into() } else { error }
}

unsafe extern "C" fn on_read(event: *mut ngx_event_t) {
    // SAFETY: nginx calls it with an event of a connection that `connect` prepared.
    let connection = unsafe { event::data(event) };
    guard((), || wake(&mut peer_of(connection).get_mut().reader));
}

unsafe extern "C" fn on_write(event: *mut ngx_event_t) {
    // SAFETY: as above.
    let connection = unsafe { event::data(event) };
    guard((), || wake(&mut peer_of(connection).get_mut().writer));
}

/// Wakes the reader when the TLS handshake is over, whether it succeeded or not.
pub(crate) unsafe extern "C" fn on_handshake(connection: *mut ngx_connection_t) {
    // SAFETY: nginx calls it with a connection that `connect` prepared.
    let connection = unsafe { &*connection };
    guard((), || wake(&mut peer_of(connection).get_mut().reader));
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// What a connection that `connect` prepared points back at.
fn peer_of(connection: &ngx_connection_t) -> Live<'_, Peer> {
    // SAFETY: `connect` has stored it there, and it stays until the connection is closed.
    unsafe { Live::of(connection.data.cast()) }
}
