//! The ABI's enums by name. A script may also write a number, known or not.

pub const BUFFERS: &[&str] = &[
    "request_body",
    "response_body",
    "downstream_data",
    "upstream_data",
    "call_response_body",
    "grpc_message",
    "vm_configuration",
    "plugin_configuration",
    "foreign_arguments",
    "redis_reply",
];

pub const MAPS: &[&str] = &[
    "request",
    "request_trailers",
    "response",
    "response_trailers",
    "grpc_initial_metadata",
    "grpc_trailing_metadata",
    "call_response",
    "call_response_trailers",
];

pub const LOG_LEVELS: &[&str] = &["trace", "debug", "info", "warn", "error", "critical"];

pub const STREAMS: &[&str] = &["request", "response", "downstream", "upstream"];

pub const METRICS: &[&str] = &["counter", "gauge", "histogram"];

pub const CLOCKS: &[&str] = &["realtime", "monotonic"];

const STATUSES: &[&str] = &[
    "OK",
    "NOT_FOUND",
    "BAD_ARGUMENT",
    "SERIALIZATION_FAILURE",
    "PARSE_FAILURE",
    "BAD_EXPRESSION",
    "INVALID_MEMORY_ACCESS",
    "EMPTY",
    "CAS_MISMATCH",
    "RESULT_MISMATCH",
    "INTERNAL_FAILURE",
    "BROKEN_CONNECTION",
    "UNIMPLEMENTED",
];

pub fn status(status: u32) -> String {
    match STATUSES.get(status as usize) {
        Some(name) => (*name).into(),
        None => format!("status {status}"),
    }
}

pub fn errno(errno: u32) -> String {
    match errno {
        0 => "SUCCESS".into(),
        2 => "ACCES".into(),
        8 => "BADF".into(),
        21 => "FAULT".into(),
        28 => "INVAL".into(),
        44 => "NOENT".into(),
        52 => "NOSYS".into(),
        58 => "NOTSUP".into(),
        76 => "NOTCAPABLE".into(),
        _ => format!("errno {errno}"),
    }
}

/// The number of `text`, which is one of `names` or a number.
pub fn number(names: &[&str], text: &str) -> Option<u32> {
    match names.iter().position(|name| *name == text) {
        Some(position) => Some(position as u32),
        None => text.parse().ok(),
    }
}
