//! Every limit of the module, and the default of every limit that an operator can change. The
//! library's own are in [`proxy_wasm_host::limits`].

/// Response bodies on their way through plugins.
pub mod response {
    /// The most bytes of a body that a plugin sees at once.
    pub const PIECE: usize = 64 << 10;

    /// Bytes that plugins made and the client has not taken yet. Above this, no more is read from
    /// upstream.
    pub const UNSENT: usize = 256 << 10;

    /// The most bytes of a body that pass the plugins in one turn of nginx's loop, if the whole
    /// body is there. nginx sends as much of a file at once (`sendfile_max_chunk`).
    pub const TURN: usize = 2 << 20;
}

/// Fields and variables that the plugins of one request set.
pub mod request {
    /// The most bytes of all names and values. This is more than any message's header has, with
    /// room for values that are set with each piece of a long body.
    pub const SET: usize = 16 << 20;

    /// Bytes up to here are not counted for the plugin: most requests set less.
    pub const UNCOUNTED: usize = 64 << 10;

    /// Bytes that a name and its value count in addition to their own length.
    pub const ENTRY: usize = 64;

    /// The default of `wasm_pause_timeout` in milliseconds, which is that of nginx's own timeouts.
    pub const PAUSE_TIMEOUT: u32 = 60_000;
}

/// The work that one worker does in one turn of nginx's loop, and the bytes that it keeps.
pub mod worker {
    use std::time::Duration;

    /// The most tasks or callbacks in one turn.
    pub const TURN_STEPS: u32 = 64;

    /// The most time of one turn. A callback that begins within it may take longer, up to its
    /// deadline.
    pub const TURN_TIME: Duration = Duration::from_millis(10);

    /// The default of `wasm_instances`. Each reserves 4 GiB of address space, of which a process has
    /// 128 TiB, and takes up to a dozen of the 65,530 mappings that Linux lets a process have.
    pub const INSTANCES: usize = 512;

    /// The most that `wasm_instances` can be.
    pub const MOST_INSTANCES: usize = 2048;

    /// The default of `wasm_worker_memory`.
    pub const MEMORY: usize = 1 << 30;

    /// Bytes that a message of a gRPC stream counts in addition to its own length.
    pub const GRPC_MESSAGE: usize = 128;

    /// The least time between two log lines of the same kind, if any request can cause the line.
    pub const LOG_INTERVAL: Duration = Duration::from_secs(1);

    /// The most bytes of a name that a line has.
    pub const LOG_NAME: usize = 300;

    /// The most lines of one kind in that time, about one plugin, if they differ.
    pub const LOG_LINES: usize = 8;
}

/// The least value of `wasm_compile_memory`: the compiler itself needs some memory.
pub const LEAST_COMPILE_MEMORY: usize = 16 << 20;

/// The default sizes of the shared zones.
pub mod zones {
    /// `wasm_shared_data`.
    pub const DATA: usize = 16 << 20;

    /// `wasm_shared_queue`.
    pub const QUEUES: usize = 4 << 20;

    /// `wasm_metrics_zone`: room for about 8,000 counters.
    pub const METRICS: usize = 1 << 20;
}
