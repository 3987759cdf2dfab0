//! `ngx_http_request.c`: how nginx notices that the client of a request leaves.

use nginx_sys::{self as sys, ngx_http_request_t};

use crate::Request;

/// A request's handler for reading: what nginx calls when something comes from the client.
type Reading = unsafe extern "C" fn(*mut ngx_http_request_t);

impl Request<'_> {
    /// Suspends the request in a phase handler of ours, while nginx goes on noticing that the client
    /// leaves. A `post_action` runs whether it has left or not.
    pub fn watch_client(mut self) {
        self.read_by(if self.is_post_action() { sys::ngx_http_block_reading } else { sys::ngx_http_test_reading });
        self.raw_mut().write_event_handler = Some(sys::ngx_http_request_empty_handler);
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
        let read = self.connection().read_event();
        if read.get().ready() != 0 {
            let queue = &raw mut sys::ngx_posted_events;
            // SAFETY: nginx takes the event out of its queue when it closes the connection.
            unsafe { sys::ngx_post_event(read.as_ptr(), queue) };
        } else {
            // If it fails, nginx says why, and the client is not watched.
            read.handle_read();
        }
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
