//! Files of a plugin that the operator gave directories.
//!
//! What keeps a plugin inside its directories is wasmtime-wasi's: a [`Dir`] and a [`File`] with
//! their permissions, and what is done to them by a path. Its functions of preview 1 are not used,
//! nor its runtime. They would let one call take as long as a file or a directory is large, wait
//! for the other end of a FIFO, and trap where a plugin without directories gets an error.
//!
//! No call waits for another thread: wasmtime-wasi is told that it may block this one, so each of
//! its futures is ready when it is first asked ([`now`]).
//!
//! A guest cannot be interrupted while it is in the host. So each call looks at its deadline before
//! and after, reads and writes are bounded, and time that a call has waited for a disk counts.
//!
//! | file | what it is |
//! |---|---|
//! | `table` | the descriptors of an instance |
//! | `open` | opens the directories themselves, and what is in them |
//! | `transfer` | reads and writes |
//! | `listing` | lists a directory |
//! | `describe` | describes descriptors and files |
//! | `change` | changes what is in a directory |

use std::sync::Arc;

use wasmtime::component::Resource;
use wasmtime::{Caller, Linker};
use wasmtime_wasi::ResourceTable;
use wasmtime_wasi::filesystem::{Descriptor, Dir, File, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::{FsError, FsResult};
use wasmtime_wasi::runtime::poll_noop;

use self::table::{Entry, Table};
use super::errno::{Errno, Result};
use super::files::stdio_or_badf;
use super::{Access, PREVIEW_0, PREVIEW_1, Version, WasiHost, answer, files, poll, stdio};
use crate::config::Directory;
use crate::limits::wasi::PATH;
use crate::wasm::interrupt::{self, Waiting};
use crate::wasm::memory::{GuestBytes, LinearMemory};

mod change;
mod describe;
mod listing;
mod open;
mod table;
#[cfg(test)]
mod tests;
mod transfer;

/// The descriptor behind the three standard ones.
const FIRST: u32 = 3;

/// The directories of an instance, and what it has open of them.
pub struct Directories {
    /// Those that it was given: descriptors from [`FIRST`] on.
    given: Arc<[Directory]>,
    access: Access,
    table: Table,
    /// What the descriptors refer to.
    resources: ResourceTable,
    /// Whether the guest has changed a file or a directory.
    has_changed: bool,
}

impl Directories {
    /// The state of an instance with these directories; `None` if it has none. They are opened when
    /// they are first used.
    pub fn new(given: &Arc<[Directory]>, access: Access) -> Option<Self> {
        (!given.is_empty()).then(|| Self {
            given: Arc::clone(given),
            access,
            table: Table::new(given.len()),
            resources: ResourceTable::new(),
            has_changed: false,
        })
    }

    /// Why no image can be made of the instance: what it has open is not in its memory, and what it
    /// has changed would have to be changed again.
    pub fn obstacle(&self) -> Option<&'static str> {
        if self.has_changed {
            Some("it changed files while it started")
        } else if !self.table.is_as_given(self.given.len()) {
            Some("it has files open, or has closed a directory")
        } else {
            None
        }
    }

    /// Closes all that is open.
    pub fn close(&mut self) {
        self.table = Table::new(self.given.len());
        self.resources = ResourceTable::new();
    }

    fn file(&self, fd: u32) -> Result<&File> {
        match self.table.get(fd)? {
            Entry::File { resource, .. } => match self.resources.get(resource) {
                Ok(Descriptor::File(file)) => Ok(file),
                _ => Err(Errno::Badf),
            },
            Entry::Given { .. } | Entry::Directory { .. } => Err(Errno::Badf),
        }
    }

    /// A directory. One of those that were given is opened.
    fn directory(&mut self, fd: u32) -> Result<Resource<Descriptor>> {
        let opened = match self.table.get(fd)? {
            &Entry::Given { index, opened: None } => return self.open_given(fd, index),
            Entry::Given { opened: Some((resource, _)), .. } | Entry::Directory { resource, .. } => resource.rep(),
            Entry::File { .. } => return Err(Errno::Notdir),
        };
        Ok(Resource::new_borrow(opened))
    }

    fn dir(&mut self, fd: u32) -> Result<&Dir> {
        let resource = self.directory(fd)?;
        match self.resources.get(&resource) {
            Ok(Descriptor::Dir(dir)) => Ok(dir),
            _ => Err(Errno::Notdir),
        }
    }

    /// What wasmtime-wasi refers to by a descriptor.
    fn resource(&mut self, fd: u32) -> Result<Resource<Descriptor>> {
        match self.table.get(fd)? {
            Entry::File { resource, .. } => Ok(Resource::new_borrow(resource.rep())),
            Entry::Given { .. } | Entry::Directory { .. } => self.directory(fd),
        }
    }

    /// Lets wasmtime-wasi do something.
    fn with_wasi<R>(&mut self, call: impl FnOnce(&mut WasiFilesystemCtxView<'_>) -> Result<R>) -> Result<R> {
        let mut context = WasiFilesystemCtx::default();
        call(&mut WasiFilesystemCtxView { ctx: &mut context, table: &mut self.resources })
    }
}

/// The result of wasmtime-wasi's future, which has done all when it is first asked.
fn now<R>(future: impl Future<Output = FsResult<R>>) -> Result<R> {
    let result = poll_noop(std::pin::pin!(future));
    // It would wait for a thread, of which there is none.
    result.ok_or(Errno::Io)?.map_err(Errno::from)
}

impl From<FsError> for Errno {
    fn from(error: FsError) -> Self {
        error.downcast().map_or(Self::Io, Self::from)
    }
}

/// A path, as the guest passes it.
fn path(memory: &LinearMemory<'_>, address: u32, size: u32) -> Result<String> {
    if size > PATH {
        return Err(Errno::Nametoolong);
    }
    let bytes = memory.bytes(GuestBytes { address, size })?;
    let path = str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
    if path.contains('\0') { Err(Errno::Inval) } else { Ok(path.to_owned()) }
}

/// Runs one function, within the deadline of the guest.
fn call<T: WasiHost>(
    caller: Caller<'_, T>,
    call: impl FnOnce(&mut Directories, LinearMemory<'_>) -> Result,
) -> wasmtime::Result<i32> {
    interrupt::check()?;
    let waiting = Waiting::begin();
    let answer = answer(caller, |memory, state| match state.wasi().directories.as_deref_mut() {
        Some(directories) => call(directories, memory),
        None => Err(Errno::Badf),
    });
    waiting.end();
    interrupt::check()?;
    Ok(answer)
}

/// Defines functions on a descriptor. What each answers for a standard one comes first: the same as
/// to a plugin without directories.
macro_rules! on_descriptors {
    ($linker:ident, $module:expr, $host:ident:
        $($name:literal ($fd:ident $(, $argument:ident: $type:ty)*) else $standard:expr => $body:expr;)*) => {
        $($linker.func_wrap($module, $name, move |caller: Caller<'_, $host>, $fd: u32 $(, $argument: $type)*| {
            let standard: Option<Errno> = $standard;
            match standard {
                Some(errno) if $fd < FIRST => Ok(stdio_or_badf($fd, errno)),
                _ => call(caller, $body),
            }
        })?;)*
    };
}

/// Defines functions for a guest with directories in place of those that it would have without.
///
/// # Errors
/// When the linker refuses them.
pub fn add_directories_to_linker<T: WasiHost>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    for version in [PREVIEW_0, PREVIEW_1] {
        add_descriptors(linker, version)?;
        add_transfers(linker, version)?;
        add_paths(linker, version)?;
    }
    linker.allow_shadowing(false);
    Ok(())
}

fn add_descriptors<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let badf = Some(Errno::Badf);
    on_descriptors! { linker, version.module, T:
        "fd_advise" (fd, offset: u64, size: u64, advice: u32) else badf =>
            |directories, _| directories.advise(fd, offset, size, advice);
        "fd_allocate" (fd, _offset: u64, _size: u64) else badf =>
            |directories, _| directories.file(fd).and(Err(Errno::Notsup));
        "fd_close" (fd) else Some(Errno::Success) => |directories, _| directories.close_descriptor(fd);
        "fd_datasync" (fd) else badf => |directories, _| directories.sync_data(fd);
        "fd_fdstat_set_flags" (fd, flags: u32) else badf => |directories, _| directories.set_flags(fd, flags);
        "fd_fdstat_set_rights" (fd, _rights: u64, _inheriting: u64) else Some(Errno::Notsup) =>
            |directories, _| directories.table.get(fd).and(Err(Errno::Notsup));
        "fd_filestat_set_size" (fd, size: u64) else badf => |directories, _| directories.set_size(fd, size);
        "fd_filestat_set_times" (fd, atim: u64, mtim: u64, flags: u32) else badf =>
            |directories, _| directories.set_times(fd, atim, mtim, flags);
        "fd_prestat_dir_name" (fd, path: u32, size: u32) else badf =>
            |directories, memory| directories.given_name(memory, fd, path, size);
        "fd_prestat_get" (fd, return_prestat: u32) else badf =>
            |directories, memory| directories.given_stat(memory, fd, return_prestat);
        "fd_renumber" (fd, to: u32) else badf => |directories, _| directories.renumber(fd, to);
        "fd_sync" (fd) else badf => |directories, _| directories.sync(fd);
        "fd_fdstat_get" (fd, return_stat: u32) else None => |directories, memory| match fd {
            ..FIRST => files::fdstat(memory, fd, return_stat),
            fd => directories.descriptor_stat(memory, fd, return_stat),
        };
        "fd_filestat_get" (fd, return_stat: u32) else None => |directories, memory| match fd {
            ..FIRST => files::filestat(memory, fd, version.filestat_size, return_stat),
            fd => directories.file_stat(memory, version, fd, return_stat),
        };
    }
    linker.func_wrap(
        version.module,
        "poll_oneoff",
        move |caller: Caller<'_, T>, subscriptions: u32, events: u32, count: u32, return_count: u32| {
            call(caller, |directories, memory| {
                let is_file = |fd| directories.file(fd).is_ok();
                let size = version.subscription_size;
                poll::poll(memory, size, subscriptions, events, count, return_count, is_file)
            })
        },
    )?;
    Ok(())
}

fn add_transfers<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let spipe = Some(Errno::Spipe);
    on_descriptors! { linker, version.module, T:
        "fd_pread" (fd, parts: u32, count: u32, offset: u64, return_size: u32) else spipe =>
            |directories, memory| directories.read(memory, fd, (parts, count), Some(offset), return_size);
        "fd_pwrite" (fd, parts: u32, count: u32, offset: u64, return_size: u32) else spipe =>
            |directories, memory| directories.write(memory, fd, (parts, count), Some(offset), return_size);
        "fd_read" (fd, parts: u32, count: u32, return_size: u32) else None => |directories, memory| match fd {
            ..FIRST => files::read(memory, fd, return_size),
            fd => directories.read(memory, fd, (parts, count), None, return_size),
        };
        "fd_readdir" (fd, data: u32, size: u32, cookie: u64, return_size: u32) else Some(Errno::Badf) =>
            |directories, memory| directories.list(memory, fd, (data, size), cookie, return_size);
        "fd_seek" (fd, offset: i64, whence: u32, return_position: u32) else spipe =>
            |directories, memory| directories.seek(memory, version, fd, (offset, whence), return_position);
        "fd_tell" (fd, return_position: u32) else spipe =>
            |directories, memory| directories.tell(memory, fd, return_position);
    }
    linker.func_wrap(
        version.module,
        "fd_write",
        |caller: Caller<'_, T>, fd: u32, parts: u32, count: u32, return_size: u32| match fd {
            // Its lines go to the log.
            ..FIRST => Ok(answer(caller, |memory, state| stdio::write(memory, state, fd, parts, count, return_size))),
            fd => call(caller, |directories, memory| directories.write(memory, fd, (parts, count), None, return_size)),
        },
    )?;
    Ok(())
}

fn add_paths<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let badf = Some(Errno::Badf);
    on_descriptors! { linker, version.module, T:
        "path_create_directory" (fd, at: u32, size: u32) else badf =>
            |directories, memory| directories.create_directory(fd, path(&memory, at, size)?);
        "path_filestat_get" (fd, flags: u32, at: u32, size: u32, return_stat: u32) else badf =>
            |directories, memory| directories.path_stat(memory, version, (fd, flags, at, size), return_stat);
        "path_filestat_set_times" (fd, flags: u32, at: u32, size: u32, atim: u64, mtim: u64, set: u32) else badf =>
            |directories, memory| directories.set_path_times((fd, flags, path(&memory, at, size)?), atim, mtim, set);
        "path_link" (fd, flags: u32, at: u32, size: u32, to: u32, to_at: u32, to_size: u32) else badf =>
            |directories, memory| {
                let (from, into) = (path(&memory, at, size)?, path(&memory, to_at, to_size)?);
                directories.link((fd, flags, from), (to, into))
            };
        "path_open" (
            fd, lookup: u32, at: u32, size: u32, open: u32, rights: u64, _inheriting: u64, flags: u32, return_fd: u32
        ) else badf => |directories, memory| {
            let how = open::How { lookup, open, rights, flags };
            directories.open(memory, fd, (at, size), how, return_fd)
        };
        "path_readlink" (fd, at: u32, size: u32, into: u32, into_size: u32, return_size: u32) else badf =>
            |directories, memory| directories.read_link(memory, (fd, at, size), (into, into_size), return_size);
        "path_remove_directory" (fd, at: u32, size: u32) else badf =>
            |directories, memory| directories.remove_directory(fd, path(&memory, at, size)?);
        "path_rename" (fd, at: u32, size: u32, to: u32, to_at: u32, to_size: u32) else badf =>
            |directories, memory| {
                let (from, into) = (path(&memory, at, size)?, path(&memory, to_at, to_size)?);
                directories.rename((fd, from), (to, into))
            };
        "path_unlink_file" (fd, at: u32, size: u32) else badf =>
            |directories, memory| directories.unlink(fd, path(&memory, at, size)?);
    }
    // A link is read by other programs, too: it could lead them out of the directory.
    linker.func_wrap(
        version.module,
        "path_symlink",
        |caller: Caller<'_, T>, _target: u32, _target_size: u32, fd: u32, _at: u32, _size: u32| {
            call(caller, |directories, _| directories.directory(fd).and(Err(Errno::Perm)))
        },
    )?;
    Ok(())
}
