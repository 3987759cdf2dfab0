//! The most that one call of a host function may pass, and that a plugin may leave undone.
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

/// Bytes of a host name that is to be resolved (RFC 1035, 2.3.4).
pub const HOST_NAME: usize = 255;

/// Contexts of a plugin that wait for its `proxy_done`, in one worker. Each costs the host some
/// hundred bytes, though its request is over.
pub const PENDING_CONTEXTS: usize = 16 << 10;

/// Bytes that one call writes to the log.
pub const LOG_BYTES: usize = 64 << 10;

/// Lines that one call writes to the log.
pub const LOG_LINES: usize = 256;
