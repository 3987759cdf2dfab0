//! `ngx_connection.h`: a connection without a socket, through which nginx reports that the worker
//! shuts down.
//!
//! nginx calls the read handler of each idle connection when a worker is told to quit, and that of
//! every connection when `worker_shutdown_timeout` is over. The timers of lua-nginx-module use the
//! same way to learn that the worker ends.

use std::ptr::NonNull;

use nginx_sys::{self as sys, ngx_connection_t, ngx_event_t};

use crate::Log;
use crate::channel::EventHandler;
use crate::pool::AllocError;

/// The events that nginx reports to a [`ShutdownWatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The worker is told to quit: it accepts no more connections.
    Begun,
    /// `worker_shutdown_timeout` is over: nginx closes all open connections.
    TimedOut,
}

/// Calls a handler when the worker shuts down. A watch takes one of `worker_connections`.
pub struct ShutdownWatch(NonNull<ngx_connection_t>);

impl ShutdownWatch {
    /// Starts to watch, in a process with an event loop.
    ///
    /// # Errors
    ///
    /// When no connection is free.
    pub fn new(handler: EventHandler, log: Log) -> Result<Self, AllocError> {
        // SAFETY: called in a process with nginx's event loop. The connection is in no event queue,
        // so only `drop` frees it.
        let connection = keep_first_file(|| unsafe { sys::ngx_get_connection(FILE, log.as_ptr()) });
        let connection = NonNull::new(connection).ok_or(AllocError)?;
        // SAFETY: nginx has made the connection and its events.
        unsafe {
            let connection = connection.as_ptr();
            (*(*connection).read).handler = Some(handler);
            (*(*connection).read).log = log.as_ptr();
            (*(*connection).write).log = log.as_ptr();
            (*connection).fd = OPEN;
            (*connection).set_idle(1);
        }
        Ok(Self(connection))
    }
}

impl Drop for ShutdownWatch {
    fn drop(&mut self) {
        // SAFETY: `new` got the connection from nginx.
        unsafe {
            let connection = self.0.as_ptr();
            (*connection).set_idle(0);
            (*connection).fd = FILE;
            keep_first_file(|| sys::ngx_free_connection(connection));
            (*connection).fd = FREE;
        }
    }
}

/// Returns the event that a handler is called for.
///
/// # Safety
///
/// `event` is what nginx passes to the handler of a [`ShutdownWatch`].
pub unsafe fn shutdown(event: *mut ngx_event_t) -> Shutdown {
    // SAFETY: by this function's contract, the event's data is the connection.
    let error = unsafe { (*(*event).data.cast::<ngx_connection_t>()).error() };
    if error == 0 { Shutdown::Begun } else { Shutdown::TimedOut }
}

/// The descriptor that is passed when the connection is allocated and freed, because nginx uses it
/// then if the event method is select or poll.
const FILE: i32 = 0;
/// The descriptor of a connection that is in use without a socket.
const OPEN: i32 = -2;
/// The descriptor of a free connection.
const FREE: i32 = -1;

/// Runs `body`, which may overwrite the connection of descriptor [`FILE`], and restores that
/// connection.
fn keep_first_file<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: `ngx_cycle` is valid whenever there are connections; `files` is null, or has a slot
    // for each descriptor.
    let files = unsafe { (*sys::ngx_cycle).files };
    if files.is_null() {
        return body();
    }
    // SAFETY: as above.
    let first = unsafe { *files };
    let result = body();
    // SAFETY: as above.
    unsafe { *files = first }
    result
}
