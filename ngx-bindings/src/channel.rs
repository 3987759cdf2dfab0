//! `ngx_channel.h`: a descriptor that processes use to wake each other.

use std::os::fd::{AsRawFd, BorrowedFd};

use nginx_sys::{self as sys, ngx_event_t};

use crate::pool::AllocError;
use crate::{Log, rc};

/// A handler of nginx's events.
pub type EventHandler = unsafe extern "C" fn(*mut ngx_event_t);

/// Calls `handler` whenever the descriptor becomes readable, for as long as the process lives.
///
/// Works as `ngx_add_channel_event` does, but edge-triggered where the event method supports that:
/// each write to an eventfd that many processes watch wakes all of them, and none needs to read it.
pub fn watch(fd: BorrowedFd<'static>, handler: EventHandler, log: Log) -> Result<(), AllocError> {
    // SAFETY: called in a process that has nginx's event loop; the descriptor stays open as long as
    // the process lives.
    unsafe {
        let connection = sys::ngx_get_connection(fd.as_raw_fd(), log.as_ptr());
        if connection.is_null() {
            return Err(AllocError);
        }
        let (read, write) = ((*connection).read, (*connection).write);
        (*read).log = log.as_ptr();
        (*write).log = log.as_ptr();
        // Marks the connection as a channel, so that an exiting worker does not log it as open.
        (*read).set_channel(1);
        (*write).set_channel(1);
        (*read).handler = Some(handler);
        if sys::ngx_handle_read_event(read, 0) == rc::OK {
            return Ok(());
        }
        sys::ngx_free_connection(connection);
    }
    Err(AllocError)
}

/// Returns whether events are edge-triggered (epoll). If not, a descriptor must be read, or its
/// event comes again and again.
pub fn is_edge_triggered() -> bool {
    // SAFETY: a plain global of nginx.
    unsafe { sys::ngx_event_flags & sys::NGX_USE_CLEAR_EVENT as usize != 0 }
}
