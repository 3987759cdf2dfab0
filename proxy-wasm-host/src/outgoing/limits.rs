//! The limits of outgoing calls that a plugin does not set itself.

/// The timeout of a call that does not set one, in milliseconds.
pub const DEFAULT_TIMEOUT: u32 = 60_000;

/// The most bytes of a response's body, unless `wasm_call_response_limit` sets it. The body is held
/// in memory twice.
pub const RESPONSE_BODY: usize = 10 * 1024 * 1024;

/// How long a worker that must quit waits for calls made outside requests, in milliseconds.
pub const QUIT_TIME: u32 = 5_000;

/// The most fields in a response's header.
pub const RESPONSE_HEADERS: usize = 1_000;

/// The most bytes in a response's header.
pub const RESPONSE_HEADER_SIZE: usize = 128 * 1024;

/// The most idle connections that a worker keeps to one server.
pub const IDLE_CONNECTIONS: usize = 32;

/// How long an idle connection is kept, in milliseconds. Most servers keep theirs for longer.
pub const IDLE_TIME: u32 = 55_000;

/// Bytes counted for a call, in addition to the bytes that its plugin passed.
pub const CALL: usize = 4 << 10;

/// The most calls and streams that one VM may have under way, because each may hold a whole
/// response in memory.
pub const CALLS: usize = 10_000;
