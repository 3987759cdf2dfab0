//! Every limit of the library, and every default that an operator can change.
//!
//! A guest can be interrupted between host calls, but not inside one. So no call may take long,
//! however large the guest's memory is: a longer value is refused, or cut, before it is read.

/// Bytes of a name: of a field, a foreign function, an upstream, a service or a method.
pub const NAME: usize = 64 << 10;

/// Bytes of a property's path. When nginx looks up an argument, it compares the name at every
/// position of the query string.
pub const PROPERTY_PATH: usize = 1 << 10;

/// Bytes of a serialized map, or of a field's value. It is more than a host lets a plugin set in
/// one request.
pub const MAP: usize = 16 << 20;

/// Bytes of a host name as it is written: the 255 of RFC 1035, 2.3.4, have a length before the first
/// label, and an empty label at the end.
pub const HOST_NAME: usize = 253;

/// Bytes of a label of a host name.
pub const HOST_LABEL: usize = 63;

/// Bytes of the path of a socket in the file system, which the system keeps with a zero behind it.
pub const SOCKET_PATH: usize = 107;

/// Contexts of a plugin that wait for its `proxy_done`, in one worker. Each costs the host some
/// hundred bytes, though its request is over.
pub const PENDING_CONTEXTS: usize = 16 << 10;

/// Bytes that one call writes to the log.
pub const LOG_BYTES: usize = 64 << 10;

/// Lines that one call writes to the log.
pub const LOG_LINES: usize = 256;

/// Bytes of a server's address.
pub const ADDRESS: usize = 256;

/// Properties that plugins declare in one instance.
pub const DECLARED_PROPERTIES: usize = 1024;

/// What foreign functions take and give. A call may take some tens of milliseconds.
pub mod foreign_functions {
    use std::time::Duration;

    /// Time on the processor that `compress` or `uncompress` may take: several times what the
    /// largest usual argument takes.
    pub const TIME: Duration = Duration::from_millis(250);

    /// Bytes that `compress` takes.
    pub const COMPRESS: usize = 1 << 20;

    /// Bytes that `uncompress` gives.
    pub const UNCOMPRESSED: usize = 16 << 20;

    /// Bytes of a key. The largest keys of RSA that are in use, of 8,192 bits, have less.
    pub const KEY: usize = 8 << 10;

    /// Bytes that are signed or verified, with the signature.
    pub const SIGNED: usize = 16 << 20;
}

/// Keys, names and queues of the shared zones.
pub mod shared {
    /// The longest key or name, in bytes.
    pub const NAME: usize = super::NAME;

    /// The most queues that there can be.
    pub const QUEUES: usize = 1024;

    /// Chains of the hash table that one call looks through, while it holds the zone's lock: for keys,
    /// or for values that have expired when there is no room for a new one.
    pub const CHAINS: usize = 4096;

    /// Chains that are looked through for expired values before it is seen whether there is room now.
    pub const CHAINS_AT_ONCE: usize = 64;

    /// Chains that are looked through for expired values with each value that is set, if any has
    /// expired.
    pub const CHAINS_WITH_EACH_VALUE: usize = 4;

    /// Bytes of keys that one such call reads, or little more.
    pub const KEYS: usize = 128 << 10;
}

/// Calls to WASI.
pub mod wasi {
    /// The subscriptions that one call looks at. The guest gets the events of the others by another
    /// call, and can be interrupted in between.
    pub const SUBSCRIPTIONS: u32 = 1024;

    /// Bytes of a line; a longer line is split into several. nginx's log cuts at half of this.
    pub const LINE: usize = 4096;

    /// Bytes that one call writes. The guest writes the rest by another call, and can be interrupted
    /// in between; so with lines and parts.
    pub const WRITE: u32 = 64 << 10;

    /// Lines that end in what one call writes.
    pub const LINES: usize = 256;

    /// Parts (`iovec`) that one call reads.
    pub const PARTS: u32 = 1024;

    /// Bytes that one call returns, which takes some milliseconds. A guest can be interrupted only
    /// between calls.
    pub const RANDOM: u32 = 1 << 20;

    /// Bytes that one call reads of a file. The guest reads the rest by another call.
    pub const READ: u32 = 64 << 10;

    /// Bytes of a path.
    pub const PATH: u32 = 4096;

    /// Files and directories that an instance has open, besides the directories that it was given.
    pub const DESCRIPTORS: usize = 64;

    /// Files and directories that all instances of a process have open; fewer where the process may have few.
    pub const DESCRIPTORS_OF_PROCESS: usize = 1024;

    /// The part of the descriptors that a process may have which its instances may take: the rest is for connections.
    pub const DESCRIPTORS_PART: u64 = 4;

    /// Entries of a directory that are read at once. The deadline is looked at in between.
    pub const ENTRIES: usize = 8 << 10;
}

/// One instance of a plugin, besides its linear memory.
pub mod instance {
    /// Elements of any kind in a table: a plugin's functions that are called through pointers. The
    /// largest plugins seen have some ten thousand; a million elements take 8 MB.
    pub const TABLE_ELEMENTS: usize = 1_000_000;

    /// Tables; compilers make one.
    pub const TABLES: usize = 16;

    /// Linear memories; host functions use only one.
    pub const MEMORIES: usize = 1;

    /// Instances in a store: the plugin's, and the one of the host's own module.
    pub const INSTANCES: usize = 2;
}

/// When a plugin that failed is started again.
pub mod restart {
    use std::time::Duration;

    /// Starts may take one part in so many of a worker's time.
    pub const SHARE: u32 = 10;

    /// A start need not wait if it is this early. So the first failures in a while cost no other
    /// request anything: ten milliseconds' worth of starts follow each other at once.
    pub const SLACK: Duration = Duration::from_millis(100);

    /// The wait after the second start in a row that failed. It doubles with each further one.
    pub const FIRST_DELAY: Duration = Duration::from_secs(1);

    /// The longest wait between starts that fail.
    pub const LONGEST_DELAY: Duration = Duration::from_secs(60);

    /// An instance that ran this long was healthy: if its tick or queue fails now, that is the first
    /// failure.
    pub const HEALTHY: Duration = Duration::from_secs(10);

    /// Configurations whose failures are remembered, in one VM.
    pub const CONFIGURATIONS: usize = 256;
}

/// Images of instances.
pub mod images {
    /// Images that there can be at once, of all plugins and configurations together.
    pub const REGIONS: usize = 256;

    /// Bytes of an instance's memory. All of it is looked through for what is not zero.
    pub const MEMORY: usize = 256 << 20;

    /// Bytes of memory of the images that nobody uses, together: those of configurations that are
    /// gone, or that wait for a worker.
    pub const UNUSED: u64 = 256 << 20;

    /// Bytes of what is kept of an instance besides its memory.
    pub const META: usize = 1 << 20;

    /// What an instance may ask of the host while it starts, and still be imaged: each is asked
    /// again for every instance that is restored.
    pub const ASKED: usize = 4096;

    /// Bytes of zeros that are mapped with what is around them: mapping two parts costs more.
    pub const GAP: usize = 256 << 10;

    /// Instances that requests have left, for the next requests: of all configurations in one VM.
    /// Each has some mappings, of which Linux lets a process have 65,530.
    pub const SPARES: usize = 16;

    /// Bytes of memory that these have for themselves, together.
    pub const SPARES_MEMORY: usize = 64 << 20;

    /// Bytes of memory that one of them has for itself.
    pub const SPARE_MEMORY: usize = 32 << 20;

    /// Bytes that one of them may have for itself, however little requests of the plugin write.
    pub const SPARE_SLACK: usize = 256 << 10;

    /// Parts of a memory that are mapped apart. Linux lets a process have 65,530 mappings.
    pub const EXTENTS: usize = 8;
}

/// The defaults of a plugin's options.
pub mod plugin {
    use std::time::Duration;

    /// `wasm_memory_limit`: a WAF in Go takes 60 MB to start, so this leaves room and still stops a
    /// leak.
    pub const MEMORY: usize = 256 << 20;

    /// `wasm_host_memory`: room for the bodies of some dozens of calls and requests at once.
    pub const HOST_MEMORY: usize = 256 << 20;

    /// `wasm_callback_timeout`: a callback blocks its worker, and every request in it, while it
    /// runs.
    pub const CALLBACK_TIMEOUT: Duration = Duration::from_secs(1);

    /// `wasm_start_timeout`: starting a Go plugin and configuring a rule set take seconds on a slow
    /// machine.
    pub const START_TIMEOUT: Duration = Duration::from_secs(60);

    /// `wasm_body_buffer_size`: the part of a body that is kept in memory for a paused plugin.
    pub const BODY_BUFFER: usize = 8 << 20;

    /// `wasm_compile_timeout`. A Go plugin of 25 MB takes a minute of one core and less than 1 GB on
    /// a machine of today. A slow or busy machine takes several times as long.
    pub const COMPILE_TIME: Duration = Duration::from_secs(300);

    /// `wasm_compile_memory`.
    pub const COMPILE_MEMORY: usize = 2 << 30;
}

/// Calls to other servers, where a plugin does not set the limit itself.
pub mod calls {
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

    /// The timeout of a Redis call that does not set one, in milliseconds: Higress's.
    pub const REDIS_TIMEOUT: u32 = 1_000;

    /// The most Redis servers that a plugin context may have said how to use.
    pub const REDIS_SERVERS: usize = 64;

    /// Bytes counted for what a plugin context has said of a Redis server, in addition to the bytes
    /// that it passed.
    pub const REDIS_SERVER: usize = 256;

    /// Bytes counted for a call, in addition to the bytes that its plugin passed.
    pub const CALL: usize = 4 << 10;

    /// The most calls and streams that one VM may have under way, because each may hold a whole
    /// response in memory.
    pub const CALLS: usize = 10_000;
}
