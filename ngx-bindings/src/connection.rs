//! `ngx_connection.h`, `ngx_event_connect.h`: a connection to another server, on nginx's event
//! loop.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::task::{Context, Poll, Waker};

use nginx_sys::{self as sys, ngx_connection_t, ngx_event_t, ngx_peer_connection_t, ngx_pool_t, ngx_str_t, socklen_t};

use crate::inet::{Address, SocketAddress};
use crate::{Log, rc, string};

/// The size of a connection's pool in bytes: nginx allocates a little for TLS.
const POOL_SIZE: usize = 256;

/// A connection to another server. Dropping it closes it.
///
/// nginx's events only wake the tasks that last polled the connection for reading and for writing;
/// they never run anything else.
pub struct Connection(NonNull<Peer>);

/// The object that nginx's connection points back at; it must not move.
struct Peer {
    peer: ngx_peer_connection_t,
    address: SocketAddress,
    /// `peer.name` points at `name`, and `name` at `text`. nginx's error lines show it.
    name: ngx_str_t,
    text: String,
    pool: *mut ngx_pool_t,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Connection {
    /// Starts to connect; [`Self::connected`] returns the outcome.
    ///
    /// # Errors
    ///
    /// The error that the system reports at once.
    pub fn open(address: &Address, log: Log) -> io::Result<Self> {
        let (raw, len) = SocketAddress::new(address).ok_or(ErrorKind::InvalidInput)?;
        // SAFETY: the log outlives the process's connections; nginx also starts a peer with all
        // zeros.
        let (pool, peer) = unsafe { (sys::ngx_create_pool(POOL_SIZE, log.as_ptr()), std::mem::zeroed()) };
        if pool.is_null() {
            return Err(ErrorKind::OutOfMemory.into());
        }
        let (name, text) = (ngx_str_t::empty(), address.to_string());
        let peer = Box::new(Peer { peer, address: raw, name, text, pool, reader: None, writer: None });
        let this = Self(NonNull::from(Box::leak(peer)));
        this.connect(len, log)?;
        Ok(this)
    }

    fn connect(&self, len: socklen_t, log: Log) -> io::Result<()> {
        let this = self.0.as_ptr();
        // SAFETY: `this` is this module's and does not move; nginx keeps pointers into it until
        // `drop` closes the connection.
        unsafe {
            (*this).name = string::borrowed((*this).text.as_bytes());
            let peer = &raw mut (*this).peer;
            (*peer).sockaddr = (&raw mut (*this).address).cast();
            (*peer).socklen = len;
            (*peer).name = &raw mut (*this).name;
            (*peer).get = Some(sys::ngx_event_get_peer);
            (*peer).log = log.as_ptr();
            // Errors go to the code that made the connection, which knows what it was for.
            (*peer).set_log_error(sys::ngx_connection_log_error_e_NGX_ERROR_INFO);
            match sys::ngx_event_connect_peer(peer) {
                rc::OK | rc::AGAIN => {}
                // The server could not be reached. nginx has closed the socket, which may have
                // changed errno.
                rc::DECLINED => return Err(last_error(ErrorKind::ConnectionRefused)),
                // There is no free descriptor, or none of `worker_connections`; nginx has logged
                // which.
                _ => return Err(io::Error::other("no connection could be made")),
            }
            let connection = (*peer).connection;
            (*connection).data = this.cast();
            (*connection).pool = (*this).pool;
            (*(*connection).read).handler = Some(on_read);
            (*(*connection).write).handler = Some(on_write);
        }
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
        // SAFETY: an open connection has a socket and events.
        unsafe {
            let connection = self.as_ptr();
            let (read, write) = ((*connection).read, (*connection).write);
            if (*write).ready() == 0 && (*read).ready() == 0 && (*read).pending_eof() == 0 {
                self.wait_for_writing(cx);
                return Poll::Pending;
            }
            let mut error = 0;
            let mut size = size_of_val(&error) as socklen_t;
            let got = sys::getsockopt(
                (*connection).fd,
                sys::SOL_SOCKET as _,
                sys::SO_ERROR as _,
                (&raw mut error).cast(),
                &raw mut size,
            );
            Poll::Ready(match (got, error) {
                (-1, _) => Err(io::Error::last_os_error()),
                (_, 0) => {
                    // Send small messages at once: waiting for more data to send with them costs
                    // time.
                    if !matches!((*self.0.as_ptr()).address.family(), sys::AF_UNIX) {
                        sys::ngx_tcp_nodelay(connection);
                    }
                    Ok(())
                }
                (_, error) => Err(io::Error::from_raw_os_error(error)),
            })
        }
    }

    /// Reads received bytes; 0 bytes mean the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [MaybeUninit<u8>]) -> Poll<io::Result<usize>> {
        let connection = self.as_ptr();
        // SAFETY: an open connection can receive; nginx writes no more bytes than it is told.
        unsafe {
            let Some(recv) = (*connection).recv else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
            match recv(connection, into.as_mut_ptr().cast(), into.len()) {
                n @ 0.. => Poll::Ready(Ok(n as usize)),
                AGAIN => {
                    if sys::ngx_handle_read_event((*connection).read, 0) != rc::OK {
                        return Poll::Ready(Err(ErrorKind::Other.into()));
                    }
                    (*self.0.as_ptr()).reader = Some(cx.waker().clone());
                    Poll::Pending
                }
                _ => Poll::Ready(Err(last_error(ErrorKind::ConnectionReset))),
            }
        }
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let connection = self.as_ptr();
        // SAFETY: an open connection can send; nginx only reads the bytes.
        unsafe {
            let Some(send) = (*connection).send else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
            match send(connection, bytes.as_ptr().cast_mut(), bytes.len()) {
                n @ 1.. => Poll::Ready(Ok(n as usize)),
                AGAIN => {
                    if sys::ngx_handle_write_event((*connection).write, 0) != rc::OK {
                        return Poll::Ready(Err(ErrorKind::Other.into()));
                    }
                    self.wait_for_writing(cx);
                    Poll::Pending
                }
                _ => Poll::Ready(Err(last_error(ErrorKind::BrokenPipe))),
            }
        }
    }

    pub(crate) fn as_ptr(&self) -> *mut ngx_connection_t {
        // SAFETY: the peer is this module's until `drop`.
        unsafe { (*self.0.as_ptr()).peer.connection }
    }

    /// Makes nginx's read and write events wake the reader and the writer again, after other code
    /// has used the events.
    pub(crate) fn take_back_events(&self) {
        let connection = self.as_ptr();
        // SAFETY: an open connection has events.
        unsafe {
            (*(*connection).read).handler = Some(on_read);
            (*(*connection).write).handler = Some(on_write);
        }
    }

    pub(crate) fn wait_for_reading(&mut self, cx: &Context<'_>) {
        // SAFETY: the peer is this module's until `drop`.
        unsafe { (*self.0.as_ptr()).reader = Some(cx.waker().clone()) }
    }

    fn wait_for_writing(&mut self, cx: &Context<'_>) {
        // SAFETY: the peer is this module's until `drop`.
        unsafe { (*self.0.as_ptr()).writer = Some(cx.waker().clone()) }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: only the connection points at the peer, and it is closed here.
        unsafe {
            let peer = Box::from_raw(self.0.as_ptr());
            let connection = peer.peer.connection;
            if !connection.is_null() {
                if !(*connection).ssl.is_null() {
                    // Closes as nginx closes kept connections: without waiting for, or sending, a
                    // TLS close message.
                    (*(*connection).ssl).set_no_wait_shutdown(1);
                    (*(*connection).ssl).set_no_send_shutdown(1);
                    sys::ngx_ssl_shutdown(connection);
                }
                sys::ngx_close_connection(connection);
            }
            sys::ngx_destroy_pool(peer.pool);
        }
    }
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
    if let Some(waker) = unsafe { (*peer_of(event)).reader.take() } {
        waker.wake();
    }
}

unsafe extern "C" fn on_write(event: *mut ngx_event_t) {
    // SAFETY: as above.
    if let Some(waker) = unsafe { (*peer_of(event)).writer.take() } {
        waker.wake();
    }
}

/// Wakes the reader when the TLS handshake is over, whether it succeeded or not.
pub(crate) unsafe extern "C" fn on_handshake(connection: *mut ngx_connection_t) {
    // SAFETY: `data` is what `connect` stored there.
    if let Some(waker) = unsafe { (*(*connection).data.cast::<Peer>()).reader.take() } {
        waker.wake();
    }
}

/// # Safety
///
/// `event` is the read or write event of a connection that `connect` prepared.
unsafe fn peer_of(event: *mut ngx_event_t) -> *mut Peer {
    // SAFETY: an event of a connection has the connection as its data.
    unsafe { (*(*event).data.cast::<ngx_connection_t>()).data.cast() }
}
