//! Maps a part of a file: over the same part of an instance's linear memory ([`map_over`]), and to
//! copy from it ([`View`]).
//!
//! [`map_over`] is the one place where memory changes behind wasmtime's back. It is sound because:
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
use std::ptr::{self, NonNull};

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

/// A part of a file, mapped to be read.
#[derive(Debug)]
pub struct View {
    address: NonNull<u8>,
    size: usize,
}

impl View {
    /// Maps `size` bytes from `offset` on, which is a multiple of [`PAGE`]. The file is sealed against
    /// shrinking, so all of them exist.
    ///
    /// # Errors
    /// When the process may map no more.
    pub fn of(file: BorrowedFd<'_>, offset: u64, size: usize) -> io::Result<Self> {
        // SAFETY: the kernel chooses the addresses, so nothing else is there.
        #[allow(unsafe_code)]
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                size,
                libc::PROT_READ,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                offset.cast_signed(),
            )
        };
        match NonNull::new(mapped) {
            Some(address) if mapped != libc::MAP_FAILED => Ok(Self { address: address.cast(), size }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Copies the bytes from `from` on, as many as there is room for.
    ///
    /// # Errors
    /// When the part does not have as many.
    pub fn copy(&self, from: usize, to: &mut [u8]) -> io::Result<()> {
        if from.checked_add(to.len()).is_none_or(|end| end > self.size) {
            return Err(io::Error::other("the image is smaller than the memory"));
        }
        // SAFETY: `from` is inside the mapping.
        #[allow(unsafe_code)]
        let from = unsafe { self.address.add(from) };
        // SAFETY: as many bytes are mapped there, and `to` is other memory. No reference to the
        // mapped bytes exists anywhere: a process that was taken over may change them meanwhile, and
        // whatever is copied then is bytes.
        #[allow(unsafe_code)]
        unsafe {
            ptr::copy_nonoverlapping(from.as_ptr(), to.as_mut_ptr(), to.len());
        }
        Ok(())
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nothing refers to it.
        #[allow(unsafe_code)]
        let _ = unsafe { libc::munmap(self.address.as_ptr().cast(), self.size) };
    }
}
