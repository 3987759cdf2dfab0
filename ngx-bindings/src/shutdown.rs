//! `ngx_connection.h`: a connection without a socket, through which nginx reports that the worker
//! shuts down.
//!
//! nginx calls the read handler of each idle connection when a worker is told to quit, and that of
//! every connection when `worker_shutdown_timeout` is over. The timers of lua-nginx-module use the
//! same way to learn that the worker ends.

use nginx_sys::{self as sys, ngx_connection_t, ngx_event_t};

use crate::channel::EventHandler;
use crate::live::Live;
use crate::pool::AllocError;
use crate::{connection, cycle, event};

/// The events that nginx reports to a [`ShutdownWatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The worker is told to quit: it accepts no more connections.
    Begun,
    /// `worker_shutdown_timeout` is over: nginx closes all open connections.
    TimedOut,
}

/// Calls a handler when the worker shuts down. A watch takes one of `worker_connections`.
pub struct ShutdownWatch(Live<'static, ngx_connection_t>);

impl ShutdownWatch {
    /// Starts to watch, in a process with an event loop.
    ///
    /// # Errors
    ///
    /// When no connection is free.
    pub fn new(handler: EventHandler) -> Result<Self, AllocError> {
        // The connection is in no event queue, so only `drop` frees it.
        let mut connection = keep_first_file(|| connection::take(FILE)).ok_or(AllocError)?;
        connection.read_event().get_mut().handler = Some(handler);
        connection.get_mut().fd = OPEN;
        connection.get_mut().set_idle(1);
        Ok(Self(connection))
    }
}

impl Drop for ShutdownWatch {
    fn drop(&mut self) {
        self.0.get_mut().set_idle(0);
        self.0.get_mut().fd = FILE;
        // SAFETY: `new` got the connection from nginx.
        keep_first_file(|| unsafe { sys::ngx_free_connection(self.0.as_ptr()) });
        self.0.get_mut().fd = FREE;
    }
}

/// Returns the event that a handler is called for.
///
/// # Safety
///
/// `event` is what nginx passes to the handler of a [`ShutdownWatch`].
pub unsafe fn shutdown(event: *mut ngx_event_t) -> Shutdown {
    // SAFETY: by this function's contract.
    let connection: &ngx_connection_t = unsafe { event::data(event) };
    if connection.error() == 0 { Shutdown::Begun } else { Shutdown::TimedOut }
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
    let Some(mut file) = cycle::first_file() else {
        return body();
    };
    let connection = *file.get();
    let result = body();
    *file.get_mut() = connection;
    result
}
