//! `ngx_channel.h`: a descriptor that processes use to wake each other.

use std::os::fd::{AsRawFd, BorrowedFd};

use nginx_sys::{self as sys, ngx_event_t, ngx_uint_t};

use crate::pool::AllocError;
use crate::{connection, globals, rc};

/// A handler of nginx's events.
pub type EventHandler = unsafe extern "C" fn(*mut ngx_event_t);

/// Calls `handler` whenever the descriptor becomes readable, for as long as the process lives.
///
/// Works as `ngx_add_channel_event` does, but edge-triggered where the event method supports that:
/// each write to an eventfd that many processes watch wakes all of them, and none needs to read it.
pub fn watch(fd: BorrowedFd<'static>, handler: EventHandler) -> Result<(), AllocError> {
    let connection = connection::take(fd.as_raw_fd()).ok_or(AllocError)?;
    let mut read = connection.read_event();
    // Marks the connection as a channel, so that an exiting worker does not log it as open.
    read.get_mut().set_channel(1);
    connection.write_event().get_mut().set_channel(1);
    read.get_mut().handler = Some(handler);
    if read.handle_read() == rc::OK {
        return Ok(());
    }
    // SAFETY: nobody else knows the connection.
    unsafe { sys::ngx_free_connection(connection.as_ptr()) };
    Err(AllocError)
}

/// Returns whether events are edge-triggered (epoll). If not, a descriptor must be read, or its
/// event comes again and again.
pub fn is_edge_triggered() -> bool {
    globals::event_flags() & sys::NGX_USE_CLEAR_EVENT as ngx_uint_t != 0
}
