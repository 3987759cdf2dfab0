//! How much of the machine one instance may take.

use wasmtime::{StoreLimits, StoreLimitsBuilder};

/// Elements of all kinds of a table: a plugin's functions that are called through pointers. The largest plugins seen have
/// some ten thousand; a million of them take 8 MB.
const TABLE_ELEMENTS: usize = 1_000_000;

/// Tables: compilers make one.
const TABLES: usize = 16;

/// The limits of an instance whose linear memory may have `memory` bytes. Growing past it fails in the guest.
pub fn limits(memory: usize) -> StoreLimits {
    StoreLimitsBuilder::new()
        .memory_size(memory)
        .memories(1)
        .table_elements(TABLE_ELEMENTS)
        .tables(TABLES)
        .instances(1)
        .build()
}
