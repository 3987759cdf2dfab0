//! Spec, "Logging" and "Clocks": writes plugins' messages to the log of the request or of the
//! worker, and reads the system's clock.

use std::time::{SystemTime, UNIX_EPOCH};

use ngx_bindings::{Log, cycle};
use proxy_wasm_host::abi::LogLevel;
use proxy_wasm_host::host::{Clocks, Logging};

use crate::context::{NginxHost, RequestStream};
use crate::log::{nginx_level, proxy_wasm_level};

impl Logging<RequestStream> for NginxHost {
    fn log_level(&self, stream: Option<&RequestStream>) -> LogLevel {
        with_log(stream, |log| proxy_wasm_level(log.level())).unwrap_or(LogLevel::Critical)
    }

    fn log(&self, stream: Option<&RequestStream>, level: LogLevel, line: &[u8], more: bool) {
        // What nginx adds to a request's line, the client and so on, stands behind the whole message.
        let write = |log: Log<'_>| {
            if more { log.write_part(nginx_level(level), line) } else { log.write(nginx_level(level), line) }
        };
        with_log(stream, write);
    }
}

/// Uses the log of the request, or the worker's.
pub fn with_log<R>(stream: Option<&RequestStream>, use_log: impl FnOnce(Log<'_>) -> R) -> Option<R> {
    match stream {
        Some(stream) => Some(use_log(stream.request().log())),
        None => cycle::with_log(use_log),
    }
}

impl Clocks for NginxHost {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64)
    }
}
