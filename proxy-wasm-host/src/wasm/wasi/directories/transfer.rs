//! Reads and writes files, a bounded number of bytes in each call.

use std::os::unix::fs::FileExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit};

use super::Directories;
use super::open::{APPEND, NONBLOCK};
use crate::limits::wasi::{PARTS, READ, WRITE};
use crate::wasm::memory::{GuestBytes, LinearMemory};
use crate::wasm::wasi::Version;
use crate::wasm::wasi::errno::{Errno, Result};

/// The part (`iovec`) of that number.
fn part(memory: &LinearMemory<'_>, parts: u32, index: u32) -> Result<GuestBytes> {
    let at = parts.checked_add(index * 8).ok_or(Errno::Fault)?;
    let address = memory.read_u32(at)?;
    let size = memory.read_u32(at.checked_add(4).ok_or(Errno::Fault)?)?;
    memory.check(address, size)?;
    Ok(GuestBytes { address, size })
}

/// Adds to a position in a file.
fn after(position: u64, size: usize) -> Result<u64> {
    u64::try_from(size).ok().and_then(|size| position.checked_add(size)).ok_or(Errno::Overflow)
}

/// Refuses a file beyond the limit of this process, of which the kernel would tell by a signal that ends the process.
pub fn check_size(size: u64) -> Result {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if size > limit { Err(Errno::Fbig) } else { Ok(()) }
}

/// Moves bytes between a guest's parts and a file, from a position on and `most` of them: `run` moves those of one part, and returns
/// how many it has moved. A failure is the result only if nothing was moved before it; else the next call says it.
fn each_part(
    memory: &mut LinearMemory<'_>,
    (parts, count): (u32, u32),
    most: u32,
    start: u64,
    mut run: impl FnMut(&mut LinearMemory<'_>, GuestBytes, u64) -> Result<usize>,
) -> Result<u32> {
    let mut moved = 0;
    for index in 0..count.min(PARTS) {
        let part = part(memory, parts, index)?;
        let size = part.size.min(most - moved);
        if size == 0 {
            continue;
        }
        let from = after(start, moved as usize)?;
        let done = match run(memory, GuestBytes { size, ..part }, from) {
            // It is never larger than the part.
            Ok(done) => done as u32,
            Err(error) if moved == 0 => return Err(error),
            Err(_) => 0,
        };
        moved += done;
        if done < part.size {
            break;
        }
    }
    Ok(moved)
}

impl Directories {
    /// `fd_read`, and `fd_pread` at an offset.
    pub(super) fn read(
        &mut self,
        mut memory: LinearMemory<'_>,
        fd: u32,
        (parts, count): (u32, u32),
        offset: Option<u64>,
        return_size: u32,
    ) -> Result {
        memory.check(return_size, 4)?;
        let state = *self.table.state(fd)?;
        if !state.reads {
            return Err(Errno::Badf);
        }
        let file = &self.file(fd)?.file;
        let start = offset.unwrap_or(state.position);
        let read = each_part(&mut memory, (parts, count), READ, start, |memory, part, from| {
            Ok(file.read_at(memory.bytes_mut(part)?, from)?)
        })?;
        if offset.is_none() {
            self.table.state(fd)?.position = after(start, read as usize)?;
        }
        Ok(memory.write_u32(return_size, read)?)
    }

    /// `fd_write`, and `fd_pwrite` at an offset.
    pub(super) fn write(
        &mut self,
        mut memory: LinearMemory<'_>,
        fd: u32,
        (parts, count): (u32, u32),
        offset: Option<u64>,
        return_size: u32,
    ) -> Result {
        memory.check(return_size, 4)?;
        let state = *self.table.state(fd)?;
        if !state.writes {
            return Err(Errno::Badf);
        }
        let file = &self.file(fd)?.file;
        // Where the kernel writes at the end, it does not look at a position.
        let start = if state.appends { file.metadata()?.len() } else { offset.unwrap_or(state.position) };
        let written = each_part(&mut memory, (parts, count), WRITE, start, |memory, part, from| {
            check_size(after(from, part.size as usize)?)?;
            Ok(file.write_at(memory.bytes(part)?, from)?)
        })?;
        self.has_changed = true;
        if offset.is_none() {
            self.table.state(fd)?.position = after(start, written as usize)?;
        }
        Ok(memory.write_u32(return_size, written)?)
    }

    /// `fd_seek`.
    pub(super) fn seek(
        &mut self,
        mut memory: LinearMemory<'_>,
        version: Version,
        fd: u32,
        (offset, whence): (i64, u32),
        return_position: u32,
    ) -> Result {
        memory.check(return_position, 8)?;
        let state = *self.table.state(fd)?;
        let from = match version.whence(whence).ok_or(Errno::Inval)? {
            Whence::Set => 0,
            Whence::Cur => state.position,
            Whence::End => self.file(fd)?.file.metadata()?.len(),
        };
        let position = from.checked_add_signed(offset).ok_or(Errno::Inval)?;
        self.table.state(fd)?.position = position;
        Ok(memory.write_u64(return_position, position)?)
    }

    /// `fd_tell`.
    pub(super) fn tell(&mut self, mut memory: LinearMemory<'_>, fd: u32, return_position: u32) -> Result {
        let position = self.table.state(fd)?.position;
        Ok(memory.write_u64(return_position, position)?)
    }

    /// `fd_fdstat_set_flags`, of which only one means something: whether writes go to the end.
    pub(super) fn set_flags(&mut self, fd: u32, flags: u32) -> Result {
        if flags & !(APPEND | NONBLOCK) != 0 {
            return Err(Errno::Inval);
        }
        let appends = flags & APPEND != 0;
        self.table.state(fd)?;
        let file = &self.file(fd)?.file;
        let flags = OFlag::from_bits_retain(fcntl(file, FcntlArg::F_GETFL)?);
        let mut changed = flags;
        changed.set(OFlag::O_APPEND, appends);
        if changed != flags {
            fcntl(file, FcntlArg::F_SETFL(changed))?;
        }
        self.table.state(fd)?.appends = appends;
        Ok(())
    }
}

/// What an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whence {
    Set,
    Cur,
    End,
}

impl Version {
    /// `whence`, whose numbers the two versions have in another order.
    fn whence(self, number: u32) -> Option<Whence> {
        let order = match self.module {
            "wasi_unstable" => [Whence::Cur, Whence::End, Whence::Set],
            _ => [Whence::Set, Whence::Cur, Whence::End],
        };
        order.get(usize::try_from(number).ok()?).copied()
    }
}
