//! Lists a directory, from where the guest says. wasmtime-wasi would read all of it in each call, and
//! look at each file.
//!
//! The place of an entry (`cookie`) is the kernel's. The directory is opened once more for each call:
//! instances, and workers, may share what a descriptor refers to, and with it the place.

use std::mem::MaybeUninit;

use rustix::fs::{FileType, Mode, OFlags, RawDir, SeekFrom, openat, seek};

use super::Directories;
use crate::limits::wasi::ENTRIES;
use crate::wasm::interrupt;
use crate::wasm::memory::{GuestBytes, LinearMemory};
use crate::wasm::wasi::errno::{Errno, Result};

/// Bytes of a `dirent`, which its name follows.
const DIRENT: usize = 24;

impl Directories {
    /// `fd_readdir`. What the guest gets is cut where its buffer ends, and it asks again for the entry
    /// that was cut.
    pub(super) fn list(
        &mut self,
        mut memory: LinearMemory<'_>,
        fd: u32,
        (data, size): (u32, u32),
        cookie: u64,
        return_size: u32,
    ) -> Result {
        memory.check(return_size, 4)?;
        let into = memory.bytes_mut(GuestBytes { address: data, size })?;
        let dir = &self.dir(fd)?.dir;
        let again = openat(dir, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let again = again.map_err(os)?;
        if cookie != 0 {
            seek(&again, SeekFrom::Start(cookie)).map_err(os)?;
        }
        let mut buffer = [MaybeUninit::<u8>::uninit(); ENTRIES];
        let mut entries = RawDir::new(&again, &mut buffer);
        let mut used = 0;
        while used < into.len() {
            if entries.is_buffer_empty() && interrupt::is_due() {
                break;
            }
            let Some(entry) = entries.next() else { break };
            let entry = entry.map_err(os)?;
            let name = entry.file_name().to_bytes();
            // A directory's own number stands for the one above, which is none of the guest's business.
            let ino = if name == b".." { 1 } else { entry.ino() };
            let mut dirent = [0; DIRENT];
            dirent[..8].copy_from_slice(&entry.next_entry_cookie().to_le_bytes());
            dirent[8..16].copy_from_slice(&ino.to_le_bytes());
            dirent[16..20].copy_from_slice(&u32::try_from(name.len()).unwrap_or_default().to_le_bytes());
            dirent[20] = filetype(entry.file_type());
            used += copy(&mut into[used..], &dirent);
            used += copy(&mut into[used..], name);
        }
        // It is no larger than the buffer, whose size is of 32 bits.
        Ok(memory.write_u32(return_size, used as u32)?)
    }
}

/// Copies as much as there is room for. Returns how much.
fn copy(into: &mut [u8], bytes: &[u8]) -> usize {
    let size = bytes.len().min(into.len());
    into[..size].copy_from_slice(&bytes[..size]);
    size
}

/// `filetype`, as the directory has it.
fn filetype(file_type: FileType) -> u8 {
    match file_type {
        FileType::BlockDevice => 1,
        FileType::CharacterDevice => 2,
        FileType::Directory => 3,
        FileType::RegularFile => 4,
        FileType::Socket => 6,
        FileType::Symlink => 7,
        FileType::Fifo | FileType::Unknown => 0,
    }
}

fn os(error: rustix::io::Errno) -> Errno {
    nix::errno::Errno::from_raw(error.raw_os_error()).into()
}
