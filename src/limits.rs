//! Every limit of the module, and every default that an operator can change. Those of the library
//! are in [`proxy_wasm_host::limits`].

/// Bodies of responses on their way through plugins.
pub mod response {
    /// Bytes of the body that a plugin is shown at once.
    pub const PIECE: usize = 64 << 10;

    /// Bytes made by plugins that wait for the client. Past it, nothing more is taken from upstream.
    pub const UNSENT: usize = 256 << 10;

    /// Bytes that go through the plugins in one turn of nginx's loop, where the whole body is there:
    /// nginx sends as many of a file (`sendfile_max_chunk`).
    pub const TURN: usize = 2 << 20;
}

/// Fields and variables that the plugins of one request set.
pub mod request {
    /// Bytes of all names and values: more than the header of any message, with room for what is set
    /// with each piece of a long body.
    pub const SET: usize = 16 << 20;

    /// Bytes that are not counted for the plugin: most requests set less.
    pub const UNCOUNTED: usize = 64 << 10;

    /// Bytes that are counted for a name and its value, besides their own.
    pub const ENTRY: usize = 64;

    /// The default of `wasm_pause_timeout` in milliseconds: that of nginx's own timeouts.
    pub const PAUSE_TIMEOUT: u32 = 60_000;
}

/// What one worker does in one turn of nginx's loop, and what it keeps.
pub mod worker {
    use std::time::Duration;

    /// Tasks, or callbacks, of one turn.
    pub const TURN_STEPS: u32 = 64;

    /// Time of one turn. A callback that begins in it may take longer, as its deadline allows.
    pub const TURN_TIME: Duration = Duration::from_millis(10);

    /// The default of `wasm_worker_memory`.
    pub const MEMORY: usize = 1 << 30;

    /// Bytes that are counted for a message of a gRPC stream, besides its own.
    pub const GRPC_MESSAGE: usize = 128;

    /// The time between two log lines of a kind that each request can bring about.
    pub const LOG_INTERVAL: Duration = Duration::from_secs(1);
}

/// The least bytes that `wasm_compile_memory` takes: the compiler itself needs some.
pub const LEAST_COMPILE_MEMORY: usize = 16 << 20;

/// Default sizes of the shared zones.
pub mod zones {
    /// `wasm_shared_data`.
    pub const DATA: usize = 16 << 20;

    /// `wasm_shared_queue`.
    pub const QUEUES: usize = 4 << 20;

    /// `wasm_metrics_zone`: room for about 8,000 counters.
    pub const METRICS: usize = 1 << 20;
}
