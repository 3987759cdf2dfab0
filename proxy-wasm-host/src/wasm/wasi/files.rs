//! Files of a plugin that has no directories: the three standard descriptors, and an error for any
//! other.
//!
//! The errors are those of wasmtime's own WASI without preopened folders.

use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::wasm::memory::{GuestBytes, LinearMemory};

/// `filetype`: the log looks like a terminal to a plugin, so that C's stdio writes line by line.
const CHARACTER_DEVICE: u8 = 2;

/// `rights`.
const FD_READ: u64 = 1 << 1;
const FD_WRITE: u64 = 1 << 6;

/// The offset of the type in a `filestat`, after device and inode.
const FILESTAT_FILETYPE: u32 = 16;

/// Defines functions that fail with any arguments.
macro_rules! without_files {
    ($linker:ident, $module:ident: $($name:literal ($($argument:ident: $type:ty),*);)*) => {
        $($linker.func_wrap($module, $name, |$($argument: $type),*| {
            $(let _ = $argument;)*
            Errno::Badf as i32
        })?;)*
    };
}

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    let module = version.module;
    without_files! { linker, module:
        "fd_advise" (fd: i32, offset: i64, size: i64, advice: i32);
        "fd_allocate" (fd: i32, offset: i64, size: i64);
        "fd_datasync" (fd: i32);
        "fd_fdstat_set_flags" (fd: i32, flags: i32);
        "fd_filestat_set_size" (fd: i32, size: i64);
        "fd_filestat_set_times" (fd: i32, atim: i64, mtim: i64, flags: i32);
        "fd_prestat_dir_name" (fd: i32, path: i32, size: i32);
        "fd_prestat_get" (fd: i32, return_prestat: i32);
        "fd_readdir" (fd: i32, data: i32, size: i32, cookie: i64, return_size: i32);
        "fd_renumber" (fd: i32, to: i32);
        "fd_sync" (fd: i32);
        "path_create_directory" (fd: i32, path: i32, size: i32);
        "path_filestat_get" (fd: i32, flags: i32, path: i32, size: i32, return_stat: i32);
        "path_filestat_set_times" (fd: i32, flags: i32, path: i32, size: i32, atim: i64, mtim: i64, set: i32);
        "path_link" (fd: i32, flags: i32, path: i32, size: i32, to: i32, to_path: i32, to_size: i32);
        "path_open" (
            fd: i32, lookup: i32, path: i32, size: i32, open: i32, rights: i64, inheriting: i64, flags: i32, return_fd: i32
        );
        "path_readlink" (fd: i32, path: i32, size: i32, into: i32, into_size: i32, return_size: i32);
        "path_remove_directory" (fd: i32, path: i32, size: i32);
        "path_rename" (fd: i32, path: i32, size: i32, to: i32, to_path: i32, to_size: i32);
        "path_symlink" (path: i32, size: i32, fd: i32, to_path: i32, to_size: i32);
        "path_unlink_file" (fd: i32, path: i32, size: i32);
    }
    // Closing succeeds and changes nothing: a closed log would not help anyone.
    linker.func_wrap(module, "fd_close", |fd: u32| stdio_or_badf(fd, Errno::Success))?;
    linker.func_wrap(module, "fd_seek", |fd: u32, _offset: i64, _whence: i32, _return_position: i32| {
        stdio_or_badf(fd, Errno::Spipe)
    })?;
    linker.func_wrap(module, "fd_tell", |fd: u32, _return_position: i32| stdio_or_badf(fd, Errno::Spipe))?;
    linker.func_wrap(module, "fd_fdstat_set_rights", |fd: u32, _rights: i64, _inheriting: i64| {
        stdio_or_badf(fd, Errno::Notsup)
    })?;
    linker.func_wrap(module, "fd_pread", |fd: u32, _parts: i32, _count: i32, _offset: i64, _return_size: i32| {
        stdio_or_badf(fd, Errno::Spipe)
    })?;
    linker.func_wrap(module, "fd_pwrite", |fd: u32, _parts: i32, _count: i32, _offset: i64, _return_size: i32| {
        stdio_or_badf(fd, Errno::Spipe)
    })?;
    linker.func_wrap(
        module,
        "fd_read",
        |caller: Caller<'_, T>, fd: u32, _parts: u32, _count: u32, return_size: u32| {
            answer(caller, |memory, _| read(memory, fd, return_size))
        },
    )?;
    linker.func_wrap(module, "fd_fdstat_get", |caller: Caller<'_, T>, fd: u32, return_stat: u32| {
        answer(caller, |memory, _| fdstat(memory, fd, return_stat))
    })?;
    linker.func_wrap(module, "fd_filestat_get", move |caller: Caller<'_, T>, fd: u32, return_stat: u32| {
        answer(caller, |memory, _| filestat(memory, fd, version.filestat_size, return_stat))
    })?;
    Ok(())
}

/// Returns `stdio` for the three standard descriptors, and `EBADF` for any other.
pub fn stdio_or_badf(fd: u32, stdio: Errno) -> i32 {
    (if fd <= 2 { stdio } else { Errno::Badf }) as i32
}

/// Reads from standard input, which is always at its end.
pub fn read(mut memory: LinearMemory<'_>, fd: u32, return_size: u32) -> Result {
    match fd {
        0 => Ok(memory.write_u32(return_size, 0)?),
        _ => Err(Errno::Badf),
    }
}

/// Describes a standard descriptor.
pub fn fdstat(mut memory: LinearMemory<'_>, fd: u32, return_stat: u32) -> Result {
    let rights = match fd {
        0 => FD_READ,
        1 | 2 => FD_WRITE,
        _ => return Err(Errno::Badf),
    };
    // Type, flags, rights, and the rights of files opened through it.
    let mut stat = [0; 24];
    stat[0] = CHARACTER_DEVICE;
    stat[8..16].copy_from_slice(&rights.to_le_bytes());
    Ok(memory.write(return_stat, &stat)?)
}

/// Describes what a standard descriptor is of.
pub fn filestat(mut memory: LinearMemory<'_>, fd: u32, size: u32, return_stat: u32) -> Result {
    if fd > 2 {
        return Err(Errno::Badf);
    }
    memory.bytes_mut(GuestBytes { address: return_stat, size })?.fill(0);
    Ok(memory.write(return_stat + FILESTAT_FILETYPE, &[CHARACTER_DEVICE])?)
}
