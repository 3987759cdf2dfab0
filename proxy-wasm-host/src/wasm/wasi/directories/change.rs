//! Changes what is in a directory: all by wasmtime-wasi, which looks at the permissions.

use wasmtime_wasi::p2::bindings::filesystem::types::{
    Advice, Datetime, ErrorCode, HostDescriptor, NewTimestamp, PathFlags,
};

use super::open::follow;
use super::transfer::check_size;
use super::{Directories, now};
use crate::wasm::memory::LinearMemory;
use crate::wasm::wasi::errno::{Errno, Result};

/// `fstflags`.
const ATIM: u32 = 1;
const ATIM_NOW: u32 = 1 << 1;
const MTIM: u32 = 1 << 2;
const MTIM_NOW: u32 = 1 << 3;

impl Directories {
    /// `path_create_directory`.
    pub(super) fn create_directory(&mut self, fd: u32, path: String) -> Result {
        let dir = self.directory(fd)?;
        self.with_wasi(|wasi| now(wasi.create_directory_at(dir, path)))?;
        self.changed()
    }

    /// `path_link`.
    pub(super) fn link(&mut self, (fd, flags, from): (u32, u32, String), (to, into): (u32, String)) -> Result {
        let (dir, to, flags) = (self.directory(fd)?, self.directory(to)?, path_flags(flags)?);
        self.with_wasi(|wasi| now(wasi.link_at(dir, flags, from, to, into)))?;
        self.changed()
    }

    /// `path_rename`.
    pub(super) fn rename(&mut self, (fd, from): (u32, String), (to, into): (u32, String)) -> Result {
        let (dir, to) = (self.directory(fd)?, self.directory(to)?);
        self.with_wasi(|wasi| now(wasi.rename_at(dir, from, to, into)))?;
        self.changed()
    }

    /// `path_remove_directory`.
    pub(super) fn remove_directory(&mut self, fd: u32, path: String) -> Result {
        let dir = self.directory(fd)?;
        self.with_wasi(|wasi| now(wasi.remove_directory_at(dir, path)))?;
        self.changed()
    }

    /// `path_unlink_file`.
    pub(super) fn unlink(&mut self, fd: u32, path: String) -> Result {
        let dir = self.directory(fd)?;
        self.with_wasi(|wasi| now(wasi.unlink_file_at(dir, path)))?;
        self.changed()
    }

    /// `path_readlink`.
    pub(super) fn read_link(
        &mut self,
        mut memory: LinearMemory<'_>,
        (fd, at, size): (u32, u32, u32),
        (into, into_size): (u32, u32),
        return_size: u32,
    ) -> Result {
        memory.check(return_size, 4)?;
        let (dir, path) = (self.directory(fd)?, super::path(&memory, at, size)?);
        let target = self.with_wasi(|wasi| now(wasi.readlink_at(dir, path)))?;
        let target = target.as_bytes();
        let size = target.len().min(usize::try_from(into_size).unwrap_or(usize::MAX));
        memory.write(into, &target[..size])?;
        // The kernel's paths are shorter than 32 bits can say.
        Ok(memory.write_u32(return_size, size as u32)?)
    }

    /// `fd_filestat_set_size`.
    pub(super) fn set_size(&mut self, fd: u32, size: u64) -> Result {
        if !self.table.state(fd)?.writes {
            return Err(Errno::Badf);
        }
        check_size(size)?;
        let file = self.resource(fd)?;
        self.with_wasi(|wasi| now(wasi.set_size(file, size)))?;
        self.changed()
    }

    /// `fd_filestat_set_times`.
    pub(super) fn set_times(&mut self, fd: u32, atim: u64, mtim: u64, flags: u32) -> Result {
        let (atim, mtim) = times(atim, mtim, flags)?;
        let file = self.resource(fd)?;
        self.with_wasi(|wasi| now(wasi.set_times(file, atim, mtim)))?;
        self.changed()
    }

    /// `path_filestat_set_times`.
    pub(super) fn set_path_times(
        &mut self,
        (fd, flags, path): (u32, u32, String),
        atim: u64,
        mtim: u64,
        set: u32,
    ) -> Result {
        let (atim, mtim) = times(atim, mtim, set)?;
        let (dir, flags) = (self.directory(fd)?, path_flags(flags)?);
        self.with_wasi(|wasi| now(wasi.set_times_at(dir, flags, path, atim, mtim)))?;
        self.changed()
    }

    /// `fd_sync`.
    pub(super) fn sync(&mut self, fd: u32) -> Result {
        self.table.state(fd)?;
        let file = self.resource(fd)?;
        self.with_wasi(|wasi| now(wasi.sync(file)))
    }

    /// `fd_datasync`.
    pub(super) fn sync_data(&mut self, fd: u32) -> Result {
        self.table.state(fd)?;
        let file = self.resource(fd)?;
        self.with_wasi(|wasi| now(wasi.sync_data(file)))
    }

    /// `fd_advise`.
    pub(super) fn advise(&mut self, fd: u32, offset: u64, size: u64, advice: u32) -> Result {
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            5 => Advice::NoReuse,
            _ => return Err(Errno::Inval),
        };
        self.table.state(fd)?;
        let file = self.resource(fd)?;
        self.with_wasi(|wasi| now(wasi.advise(file, offset, size, advice)))
    }

    fn changed(&mut self) -> Result {
        self.has_changed = true;
        Ok(())
    }
}

fn path_flags(flags: u32) -> Result<PathFlags> {
    follow(flags)?;
    Ok(if flags == 0 { PathFlags::empty() } else { PathFlags::SYMLINK_FOLLOW })
}

fn times(atim: u64, mtim: u64, flags: u32) -> Result<(NewTimestamp, NewTimestamp)> {
    let time = |nanoseconds: u64, set: u32, to_now: u32| match (flags & set != 0, flags & to_now != 0) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(NewTimestamp::Timestamp(Datetime {
            seconds: nanoseconds / 1_000_000_000,
            // The rest of a division by a number of 32 bits.
            nanoseconds: (nanoseconds % 1_000_000_000) as u32,
        })),
        (false, true) => Ok(NewTimestamp::Now),
        (false, false) => Ok(NewTimestamp::NoChange),
    };
    Ok((time(atim, ATIM, ATIM_NOW)?, time(mtim, MTIM, MTIM_NOW)?))
}

impl From<ErrorCode> for Errno {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Access => Self::Acces,
            ErrorCode::BadDescriptor => Self::Badf,
            ErrorCode::Busy => Self::Busy,
            ErrorCode::CrossDevice => Self::Xdev,
            ErrorCode::Exist => Self::Exist,
            ErrorCode::FileTooLarge => Self::Fbig,
            ErrorCode::IllegalByteSequence => Self::Ilseq,
            ErrorCode::InsufficientMemory => Self::Nomem,
            ErrorCode::InsufficientSpace => Self::Nospc,
            ErrorCode::Interrupted => Self::Intr,
            ErrorCode::Invalid => Self::Inval,
            ErrorCode::InvalidSeek => Self::Spipe,
            ErrorCode::IsDirectory => Self::Isdir,
            ErrorCode::Loop => Self::Loop,
            ErrorCode::NameTooLong => Self::Nametoolong,
            ErrorCode::NoEntry => Self::Noent,
            ErrorCode::NotDirectory => Self::Notdir,
            ErrorCode::NotEmpty => Self::Notempty,
            ErrorCode::NotPermitted => Self::Perm,
            ErrorCode::Overflow => Self::Overflow,
            ErrorCode::Quota => Self::Dquot,
            ErrorCode::ReadOnly => Self::Rofs,
            ErrorCode::TextFileBusy => Self::Txtbsy,
            ErrorCode::TooManyLinks => Self::Mlink,
            ErrorCode::Unsupported => Self::Notsup,
            _ => Self::Io,
        }
    }
}
