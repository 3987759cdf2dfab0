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
        log_of(stream).map_or(LogLevel::Critical, |log| proxy_wasm_level(log.level()))
    }

    fn log(&self, stream: Option<&RequestStream>, level: LogLevel, message: &[u8]) {
        if let Some(log) = log_of(stream) {
            log.write(nginx_level(level), message);
        }
    }
}

fn log_of(stream: Option<&RequestStream>) -> Option<Log> {
    stream.map_or_else(cycle::log, |stream| Some(stream.request().log()))
}

impl Clocks for NginxHost {
    fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64)
    }
}
