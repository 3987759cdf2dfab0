//! Opens the directories that a plugin was given, and what is in them.
//!
//! wasmtime-wasi's own way of opening would wait at a FIFO until somebody opens its other end, and
//! wake devices. So the path is resolved by the crate that keeps its directories closed,
//! cap-primitives, with a flag that never waits, and only for what is a file or a directory.

use std::fs::{self, OpenOptions as StdOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use cap_primitives::fs::{FollowSymlinks, OpenOptions, OpenOptionsExt, open, stat};
use nix::libc::{O_APPEND, O_CLOEXEC, O_DIRECTORY, O_NONBLOCK};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File};
use wasmtime_wasi::{FsPerms, OpenMode};

use super::table::{Entry, FileState, Permit};
use super::{Access, Directories, path};
use crate::wasm::memory::LinearMemory;
use crate::wasm::wasi::errno::{Errno, Result};

/// `lookupflags`: a link at the end of the path is followed.
const SYMLINK_FOLLOW: u32 = 1;

/// `oflags`.
const CREAT: u32 = 1;
const DIRECTORY: u32 = 1 << 1;
const EXCL: u32 = 1 << 2;
const TRUNC: u32 = 1 << 3;

/// `rights` that say what a file is opened for.
pub const FD_READ: u64 = 1 << 1;
pub const FD_WRITE: u64 = 1 << 6;

/// `fdflags`.
pub const APPEND: u32 = 1;
const DSYNC: u32 = 1 << 1;
pub const NONBLOCK: u32 = 1 << 2;
const RSYNC: u32 = 1 << 3;
const SYNC: u32 = 1 << 4;

/// How a file is to be opened, as the guest says it.
#[derive(Clone, Copy, Debug)]
pub struct How {
    pub lookup: u32,
    pub open: u32,
    pub rights: u64,
    pub flags: u32,
}

/// How a file is to be opened.
struct Mode {
    options: OpenOptions,
    follow: FollowSymlinks,
    reads: bool,
    writes: bool,
    appends: bool,
    is_directory: bool,
    /// Whether opening may change something.
    changes: bool,
}

impl How {
    fn mode(self) -> Result<Mode> {
        let Self { open, rights, flags, .. } = self;
        if open & !(CREAT | DIRECTORY | EXCL | TRUNC) != 0 || flags & !(APPEND | DSYNC | NONBLOCK | RSYNC | SYNC) != 0 {
            return Err(Errno::Inval);
        }
        // As wasmtime-wasi.
        if flags & (DSYNC | RSYNC | SYNC) != 0 {
            return Err(Errno::Notsup);
        }
        let is_directory = open & DIRECTORY != 0;
        if is_directory && open & (CREAT | EXCL | TRUNC) != 0 {
            return Err(Errno::Inval);
        }
        let creates = open & CREAT != 0;
        let writes = rights & FD_WRITE != 0 || open & (CREAT | TRUNC) != 0;
        let reads = rights & FD_READ != 0 || rights & FD_WRITE == 0;
        let appends = flags & APPEND != 0;
        let follow = follow(self.lookup)?;
        let mut options = OpenOptions::new();
        options
            .read(reads)
            .write(writes)
            .truncate(open & TRUNC != 0)
            .create(creates && open & EXCL == 0)
            .create_new(creates && open & EXCL != 0)
            .custom_flags(O_NONBLOCK | if appends { O_APPEND } else { 0 } | if is_directory { O_DIRECTORY } else { 0 })
            ._cap_fs_ext_follow(follow);
        Ok(Mode { options, follow, reads, writes, appends, is_directory, changes: writes })
    }
}

/// Whether a link at the end of a path is followed.
///
/// # Errors
/// When the flags are others.
pub fn follow(lookup: u32) -> Result<FollowSymlinks> {
    match lookup {
        0 => Ok(FollowSymlinks::No),
        SYMLINK_FOLLOW => Ok(FollowSymlinks::Yes),
        _ => Err(Errno::Inval),
    }
}

impl Directories {
    /// Opens the directory that the plugin was given by that number, for a descriptor.
    pub(super) fn open_given(&mut self, fd: u32, index: usize) -> Result<Resource<Descriptor>> {
        let directory = self.given.get(index).ok_or(Errno::Badf)?;
        let permit = Permit::take()?;
        let file = open_directory(&directory.host)?;
        let writable = directory.writable && self.access == Access::Given;
        let perms = if writable { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
        let dir = Dir::new(file, perms, OpenMode::READ, true);
        let resource = self.resources.push(Descriptor::Dir(dir)).map_err(|_| Errno::Nomem)?;
        let borrowed = Resource::new_borrow(resource.rep());
        *self.table.get_mut(fd)? = Entry::Given { index, opened: Some((resource, permit)) };
        Ok(borrowed)
    }

    /// `path_open`.
    pub(super) fn open(
        &mut self,
        mut memory: LinearMemory<'_>,
        fd: u32,
        (address, size): (u32, u32),
        how: How,
        return_fd: u32,
    ) -> Result {
        memory.check(return_fd, 4)?;
        let path = path(&memory, address, size)?;
        let mode = how.mode()?;
        let (free, permit) = self.table.vacant(self.given.len())?;
        let dir = self.dir(fd)?;
        let perms = dir.perms;
        if mode.changes && perms.write_not_permitted() {
            return Err(Errno::Perm);
        }
        let (file, is_directory) = open_below(&dir.dir, Path::new(&path), &mode)?;
        let modes = [(mode.reads, OpenMode::READ), (mode.writes, OpenMode::WRITE)];
        let open_mode = modes.into_iter().filter(|(is_set, _)| *is_set).map(|(_, mode)| mode).collect();
        let descriptor = if is_directory {
            Descriptor::Dir(Dir::new(file, perms, open_mode, true))
        } else {
            Descriptor::File(File::new(file, perms, open_mode, true))
        };
        self.has_changed |= mode.changes;
        let resource = self.resources.push(descriptor).map_err(|_| Errno::Nomem)?;
        let entry = if is_directory {
            Entry::Directory { resource, _permit: permit }
        } else {
            let Mode { reads, writes, appends, .. } = mode;
            Entry::File { resource, _permit: permit, state: FileState { position: 0, reads, writes, appends } }
        };
        self.table.fill(free, entry);
        Ok(memory.write_u32(return_fd, free)?)
    }

    /// `fd_close`.
    pub(super) fn close_descriptor(&mut self, fd: u32) -> Result {
        match self.table.remove(fd)? {
            Entry::Given { opened: None, .. } => Ok(()),
            Entry::Given { opened: Some((resource, _)), .. }
            | Entry::Directory { resource, .. }
            | Entry::File { resource, .. } => self.resources.delete(resource).map(drop).map_err(|_| Errno::Badf),
        }
    }

    /// `fd_renumber`: the descriptor takes the place of another one.
    pub(super) fn renumber(&mut self, fd: u32, to: u32) -> Result {
        self.table.get(fd)?;
        self.table.get(to)?;
        if fd != to {
            self.close_descriptor(to)?;
            let entry = self.table.remove(fd)?;
            self.table.fill(to, entry);
        }
        Ok(())
    }
}

/// Opens a directory of the host's.
fn open_directory(path: &Path) -> io::Result<fs::File> {
    let file = StdOptions::new().read(true).custom_flags(O_DIRECTORY | O_CLOEXEC | O_NONBLOCK).open(path)?;
    refuse_processes(&file)?;
    Ok(file)
}

/// Opens a file or a directory. Returns whether it is a directory.
fn open_below(start: &fs::File, path: &Path, mode: &Mode) -> Result<(fs::File, bool)> {
    // Before it is opened: opening a device may do something.
    match stat(start, path, mode.follow) {
        Ok(meta) if !(meta.is_file() || meta.is_dir() || meta.is_symlink()) => return Err(Errno::Notsup),
        // Opening it says what is wrong.
        Ok(_) | Err(_) => {}
    }
    let file = open(start, path, &mode.options)?;
    // Another process may have put something else there meanwhile.
    let meta = file.metadata()?;
    if !(meta.is_file() || meta.is_dir()) {
        return Err(Errno::Notsup);
    }
    if mode.is_directory && !meta.is_dir() {
        return Err(Errno::Notdir);
    }
    refuse_processes(&file)?;
    Ok((file, meta.is_dir()))
}

/// Refuses what the kernel shows of processes: by it, a worker's own memory could be read, and written.
fn refuse_processes(file: &fs::File) -> io::Result<()> {
    if fstatfs(file)?.filesystem_type() == PROC_SUPER_MAGIC {
        return Err(io::Error::from_raw_os_error(nix::libc::EPERM));
    }
    Ok(())
}
