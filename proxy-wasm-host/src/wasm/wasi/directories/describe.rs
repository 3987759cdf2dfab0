//! Describes descriptors and files.

use cap_primitives::fs::{Metadata, MetadataExt, stat};

use super::open::{APPEND, FD_READ, FD_WRITE, follow};
use super::table::Entry;
use super::{Directories, path};
use crate::wasm::memory::LinearMemory;
use crate::wasm::wasi::Version;
use crate::wasm::wasi::errno::{Errno, Result};

/// `filetype`.
const BLOCK_DEVICE: u8 = 1;
const CHARACTER_DEVICE: u8 = 2;
const DIRECTORY: u8 = 3;
const REGULAR_FILE: u8 = 4;
const SOCKET: u8 = 6;
const SYMBOLIC_LINK: u8 = 7;

/// All of `rights`.
const ALL: u64 = (1 << 30) - 1;

/// What only files have: to seek, to tell, to be allocated, to be read and written by `fd_*`.
const OF_FILES: u64 = FD_READ | FD_WRITE | 1 << 2 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 22;

/// The bits of a mode that say what it is of.
const FORMAT: u32 = nix::libc::S_IFMT;

impl Directories {
    /// `fd_prestat_get`: the type, which is always 0, and the length of the name.
    pub(super) fn given_stat(&mut self, mut memory: LinearMemory<'_>, fd: u32, return_prestat: u32) -> Result {
        let size = u32::try_from(self.given_path(fd)?.len()).map_err(|_| Errno::Overflow)?;
        memory.check(return_prestat, 8)?;
        memory.write_u32(return_prestat, 0)?;
        Ok(memory.write_u32(return_prestat + 4, size)?)
    }

    /// `fd_prestat_dir_name`.
    pub(super) fn given_name(&mut self, mut memory: LinearMemory<'_>, fd: u32, at: u32, size: u32) -> Result {
        let name = self.given_path(fd)?;
        if u32::try_from(name.len()).is_ok_and(|length| length > size) {
            return Err(Errno::Nametoolong);
        }
        Ok(memory.write(at, name.as_bytes())?)
    }

    /// The path of a directory that the plugin was given.
    fn given_path(&self, fd: u32) -> Result<&str> {
        let Entry::Given { index, .. } = self.table.get(fd)? else { return Err(Errno::Badf) };
        self.given.get(*index).map(|directory| &*directory.guest).ok_or(Errno::Badf)
    }

    /// `fd_fdstat_get`: type, flags, rights, and the rights of files opened through the descriptor.
    pub(super) fn descriptor_stat(&mut self, mut memory: LinearMemory<'_>, fd: u32, return_stat: u32) -> Result {
        let (filetype, flags, rights, inheriting) = match self.table.get(fd)? {
            Entry::Given { .. } | Entry::Directory { .. } => (DIRECTORY, 0, ALL & !OF_FILES, ALL),
            Entry::File { state, .. } => {
                let read = if state.reads { 0 } else { FD_READ };
                let write = if state.writes { 0 } else { FD_WRITE };
                (REGULAR_FILE, if state.appends { APPEND } else { 0 }, ALL & !read & !write, 0)
            }
        };
        let mut stat = [0; 24];
        stat[0] = filetype;
        stat[2..6].copy_from_slice(&flags.to_le_bytes());
        stat[8..16].copy_from_slice(&rights.to_le_bytes());
        stat[16..24].copy_from_slice(&inheriting.to_le_bytes());
        Ok(memory.write(return_stat, &stat)?)
    }

    /// `fd_filestat_get`.
    pub(super) fn file_stat(
        &mut self,
        memory: LinearMemory<'_>,
        version: Version,
        fd: u32,
        return_stat: u32,
    ) -> Result {
        let metadata = match self.table.get(fd)? {
            Entry::File { .. } => Metadata::from_file(&self.file(fd)?.file)?,
            Entry::Given { .. } | Entry::Directory { .. } => Metadata::from_file(&self.dir(fd)?.dir)?,
        };
        write(memory, version, &metadata, return_stat)
    }

    /// `path_filestat_get`.
    pub(super) fn path_stat(
        &mut self,
        memory: LinearMemory<'_>,
        version: Version,
        (fd, flags, at, size): (u32, u32, u32, u32),
        return_stat: u32,
    ) -> Result {
        let path = path(&memory, at, size)?;
        let metadata = stat(&self.dir(fd)?.dir, path.as_ref(), follow(flags)?)?;
        write(memory, version, &metadata, return_stat)
    }
}

/// Writes a `filestat`.
fn write(mut memory: LinearMemory<'_>, version: Version, metadata: &Metadata, return_stat: u32) -> Result {
    let nanoseconds = |seconds: i64, rest: i64| {
        let time = i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        // Before 1970, or after 2554.
        u64::try_from(time).unwrap_or(if time < 0 { 0 } else { u64::MAX })
    };
    let times = [
        nanoseconds(metadata.atime(), metadata.atime_nsec()),
        nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
        nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    ];
    let mut stat = [0; 64];
    stat[..8].copy_from_slice(&metadata.dev().to_le_bytes());
    stat[8..16].copy_from_slice(&metadata.ino().to_le_bytes());
    stat[16] = filetype(metadata.mode());
    let end = usize::try_from(version.filestat_size).unwrap_or(stat.len());
    if end == stat.len() {
        stat[24..32].copy_from_slice(&metadata.nlink().to_le_bytes());
    } else {
        let links = u32::try_from(metadata.nlink()).unwrap_or(u32::MAX);
        stat[20..24].copy_from_slice(&links.to_le_bytes());
    }
    stat[end - 32..end - 24].copy_from_slice(&metadata.size().to_le_bytes());
    for (into, time) in stat[end - 24..end].chunks_exact_mut(8).zip(times) {
        into.copy_from_slice(&time.to_le_bytes());
    }
    Ok(memory.write(return_stat, &stat[..end])?)
}

fn filetype(mode: u32) -> u8 {
    match mode & FORMAT {
        nix::libc::S_IFBLK => BLOCK_DEVICE,
        nix::libc::S_IFCHR => CHARACTER_DEVICE,
        nix::libc::S_IFDIR => DIRECTORY,
        nix::libc::S_IFREG => REGULAR_FILE,
        nix::libc::S_IFSOCK => SOCKET,
        nix::libc::S_IFLNK => SYMBOLIC_LINK,
        _ => 0,
    }
}
