//! `ngx_http_request.c`: how nginx notices that the client of a request leaves.

use std::io;
use std::mem;

use nginx_sys::{self as sys, ngx_http_request_t};

use crate::Request;

/// A request's handler for reading: what nginx calls when something comes from the client.
type Reading = unsafe extern "C" fn(*mut ngx_http_request_t);

/// A handler for reading of this module.
pub type OwnReading = for<'r> extern "C" fn(Request<'r>);

/// A request's former handler for reading.
#[derive(Clone, Copy, Debug)]
pub struct FormerReading(Reading);

impl Request<'_> {
    /// Suspends the request in a phase handler of ours, while nginx goes on noticing that the client
    /// leaves. A `post_action` runs whether it has left or not.
    pub fn watch_client(mut self) {
        self.raw_mut().write_event_handler = Some(sys::ngx_http_request_empty_handler);
        if self.is_background() {
            return;
        }
        self.read_by(if self.is_post_action() { sys::ngx_http_block_reading } else { sys::ngx_http_test_reading });
        self.look_at_client();
    }

    /// Undoes [`Self::watch_client`], for a request that goes on elsewhere than in its phases: with
    /// an error page, say. An upstream that is to ignore the client's leaving keeps the handler that
    /// it finds, and this one would free the request under the upstream.
    pub fn unwatch_client(self) {
        self.read_by(sys::ngx_http_block_reading);
    }

    /// Looks whether the client has left, before nginx's loop goes on, if nginx watches it in the way
    /// of [`Self::watch_client`]. nginx's events are told once: that of a client which left before
    /// somebody watched it does not come again. nginx's upstreams begin in the same way.
    pub fn look_at_client(self) {
        if !self.is_client_watched() {
            return;
        }
        self.look_at(self.connection().read_event().get().ready() != 0);
    }

    /// Calls the handler for reading soon, or when something comes.
    fn look_at(self, now: bool) {
        if now {
            self.go_on_reading();
        } else {
            // If it fails, nginx says why, and the client is not watched.
            self.connection().read_event().handle_read();
        }
    }

    /// Lets this module's own handler be called when something comes from the client, or the client
    /// leaves. Returns the handler in whose place it is, unless it is there already.
    pub fn read_by_own(self, own: OwnReading) -> Option<FormerReading> {
        let own = as_nginxs(own);
        let former = self.raw().read_event_handler.filter(|former| !std::ptr::fn_addr_eq(*former, own))?;
        self.read_by(own);
        self.look_at(self.connection().read_event().get().ready() != 0);
        Some(FormerReading(former))
    }

    /// Undoes [`Self::read_by_own`], unless nginx has chosen another handler meanwhile.
    pub fn read_as_before(self, own: OwnReading, FormerReading(former): FormerReading) {
        if self.raw().read_event_handler.is_some_and(|current| std::ptr::fn_addr_eq(current, as_nginxs(own))) {
            self.read_by(former);
        }
    }

    /// Returns whether the client has left, as `ngx_http_test_reading` finds out.
    pub fn has_client_left(self) -> bool {
        let connection = self.connection().get();
        if connection.error() != 0 || !self.is_http1() {
            return connection.error() != 0;
        }
        let read = self.connection().read_event().get();
        if read.pending_eof() != 0 {
            return true;
        }
        let mut byte = 0_u8;
        // SAFETY: the system writes one byte at most.
        let got = unsafe { sys::recv(connection.fd, (&raw mut byte).cast(), 1, sys::MSG_PEEK as _) };
        got == 0 || got < 0 && io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock
    }

    /// Returns whether nginx reads from the client only to notice that it leaves. nginx does so while
    /// it sends a response that whoever made it has handed over.
    pub(crate) fn is_client_watched(self) -> bool {
        let watching: Reading = sys::ngx_http_test_reading;
        self.raw().read_event_handler.is_some_and(|reading| std::ptr::fn_addr_eq(reading, watching))
    }

    fn read_by(mut self, reading: Reading) {
        self.raw_mut().read_event_handler = Some(reading);
    }
}

fn as_nginxs(own: OwnReading) -> Reading {
    // SAFETY: to a handler, nginx's pointer to a request is a handle.
    unsafe { mem::transmute::<OwnReading, Reading>(own) }
}
