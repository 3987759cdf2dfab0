//! `ngx_log.h`: the error log of a cycle, a connection or a configuration.

use std::fmt;

use nginx_sys::{self as sys, ngx_log_error_core, ngx_log_t, ngx_uint_t};

use crate::live::Live;

/// The bytes that nginx has for a line (`NGX_MAX_ERROR_STR`).
const LINE: usize = sys::NGX_MAX_ERROR_STR as usize;

/// nginx's levels, the most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Level {
    Emerg = sys::NGX_LOG_EMERG as u8,
    Alert = sys::NGX_LOG_ALERT as u8,
    Crit = sys::NGX_LOG_CRIT as u8,
    Error = sys::NGX_LOG_ERR as u8,
    Warn = sys::NGX_LOG_WARN as u8,
    Notice = sys::NGX_LOG_NOTICE as u8,
    Info = sys::NGX_LOG_INFO as u8,
    Debug = sys::NGX_LOG_DEBUG as u8,
}

/// An error log.
#[derive(Clone, Copy, Debug)]
pub struct Log<'l>(Live<'l, ngx_log_t>);

impl Log<'_> {
    /// # Safety
    ///
    /// `log` is null, or a log of nginx that is valid for the handle's lifetime.
    pub unsafe fn from_ptr(log: *mut ngx_log_t) -> Option<Self> {
        // SAFETY: by this function's contract.
        unsafe { Live::new(log) }.map(Self)
    }

    /// Does the same as [`Self::from_ptr`] for a log that is there.
    ///
    /// # Safety
    ///
    /// The same as for [`Self::from_ptr`], and `log` is not null.
    #[inline]
    pub(crate) unsafe fn from_nginx(log: *mut ngx_log_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(log) })
    }

    /// The pointer that nginx's functions take.
    pub fn as_ptr(self) -> *mut ngx_log_t {
        self.0.as_ptr()
    }

    /// The least severe level that is written, as nginx's number.
    pub fn level(self) -> ngx_uint_t {
        self.0.get().log_level
    }

    /// Returns whether lines of this level are written.
    #[inline]
    pub fn enabled(self, level: Level) -> bool {
        self.level() >= level as ngx_uint_t
    }

    /// Writes one line; nginx cuts it at about 2,000 bytes.
    pub fn write(self, level: Level, message: &[u8]) {
        if self.enabled(level) {
            // SAFETY: the log is valid.
            unsafe { write_to(self.as_ptr(), level, message) };
        }
    }

    /// As [`Self::write`], without what nginx adds about the connection or the request: more of the
    /// message follows.
    pub fn write_part(self, level: Level, message: &[u8]) {
        if self.enabled(level) {
            let mut log = *self.0.get();
            log.handler = None;
            // SAFETY: a copy of a valid log, which nginx does not keep.
            unsafe { write_to(&raw mut log, level, message) };
        }
    }

    /// Writes one formatted line. A line below the log's level is not even formatted.
    pub fn print(self, level: Level, message: fmt::Arguments<'_>) {
        if self.enabled(level) {
            match message.as_str() {
                Some(text) => self.write(level, text.as_bytes()),
                None => self.write(level, &Line::of(message).0),
            }
        }
    }
}

/// # Safety
///
/// The log is valid.
unsafe fn write_to(log: *mut ngx_log_t, level: Level, message: &[u8]) {
    // SAFETY: by this function's contract; `%*s` takes a length and that many bytes.
    unsafe { ngx_log_error_core(level as ngx_uint_t, log, 0, c"%*s".as_ptr(), message.len(), message.as_ptr()) };
}

/// A formatted line, no longer than nginx can write: a value that it quotes may have any length.
struct Line(Vec<u8>);

impl Line {
    fn of(message: fmt::Arguments<'_>) -> Self {
        let mut line = Self(Vec::new());
        // Formatting fails when the line is full.
        let _ = fmt::write(&mut line, message);
        line
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = text.as_bytes();
        let room = LINE - self.0.len();
        self.0.extend_from_slice(text.get(..room).unwrap_or(text));
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}
