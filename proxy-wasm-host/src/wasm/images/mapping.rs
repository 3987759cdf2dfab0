//! Maps a part of a file over the same part of an instance's linear memory.
//!
//! This is the one place where memory changes behind wasmtime's back. It is sound because:
//!
//! - The range lies inside the memory as it is now, so wasmtime has made it readable and writable,
//!   and does not change that while the instance lives: a memory never shrinks, and this engine's
//!   never move (`memory_may_move(false)`).
//! - wasmtime reserves all addresses of a memory in one mapping, and unmaps all of it, whatever has
//!   been mapped over parts of it since. Instances are allocated on demand, so no other instance
//!   gets these addresses before.
//! - The mapping is private: nobody sees what the guest writes. Whoever maps holds the region, so
//!   no other process writes the file's part meanwhile; and if one did, a guest would read other
//!   bytes of its own memory, which it must expect of itself anyway.
//! - The file is sealed against shrinking, so every page of the mapping exists.

use std::io;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::libc;
use wasmtime::{Memory, Store};

/// Whole pages on every machine: WebAssembly's own.
const PAGE: usize = 64 << 10;

/// Maps the file from `offset` on over `range` of a memory.
///
/// # Errors
/// When the range is not of whole pages of the memory, or the process may map no more.
pub fn map_over<T>(
    store: &mut Store<T>,
    memory: Memory,
    range: Range<usize>,
    file: BorrowedFd<'_>,
    offset: u64,
) -> io::Result<()> {
    // The borrow of the store is exclusive: neither the guest nor the host uses the memory now.
    let bytes = memory.data_mut(store);
    let part = bytes.get_mut(range).ok_or_else(|| io::Error::other("the memory is smaller than its image"))?;
    let (address, size) = (part.as_mut_ptr(), part.len());
    if size == 0 || !size.is_multiple_of(PAGE) || !offset.is_multiple_of(PAGE as u64) {
        return Err(io::Error::other("an image is not of whole pages"));
    }
    // SAFETY: the head of this file says why these addresses may be replaced. `part` ends here: no
    // reference to the old bytes is left.
    #[allow(unsafe_code)]
    let mapped = unsafe {
        libc::mmap(
            address.cast(),
            size,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
            file.as_raw_fd(),
            offset.cast_signed(),
        )
    };
    if mapped == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}
