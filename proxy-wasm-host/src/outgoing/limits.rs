//! Every limit of outgoing calls that is not the plugin's to say.

/// For a call without a timeout of its own, in milliseconds.
pub const DEFAULT_TIMEOUT: u32 = 60_000;

/// Bytes of a response's body, where `wasm_call_response_limit` does not say otherwise. It is held in memory, twice.
pub const RESPONSE_BODY: usize = 10 * 1024 * 1024;

/// How long a worker that is told to quit waits for calls made outside requests, in milliseconds.
pub const QUIT_TIME: u32 = 5_000;

/// Fields of a response's header.
pub const RESPONSE_HEADERS: usize = 1_000;

/// Bytes of a response's header.
pub const RESPONSE_HEADER_SIZE: usize = 128 * 1024;

/// Connections without a call that a worker keeps to one server.
pub const IDLE_CONNECTIONS: usize = 32;

/// How long a connection without a call is kept, in milliseconds: less than most servers keep theirs.
pub const IDLE_TIME: u32 = 55_000;

/// Bytes of a call, beside what its plugin gave.
pub const CALL: usize = 4 << 10;

/// Calls and streams that one VM may have under way: each may hold a whole response in memory.
pub const CALLS: usize = 10_000;
