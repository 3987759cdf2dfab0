//! `errno`, with the numbers that both versions use.

use std::io;

use nix::errno::Errno as Os;

use crate::wasm::memory::OutOfBounds;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "files"), allow(dead_code, reason = "only files have so many errors"))]
#[repr(i32)]
pub enum Errno {
    Success = 0,
    Acces = 2,
    Again = 6,
    Badf = 8,
    Busy = 10,
    Dquot = 19,
    Exist = 20,
    Fault = 21,
    Fbig = 22,
    Ilseq = 25,
    Intr = 27,
    Inval = 28,
    Io = 29,
    Isdir = 31,
    Loop = 32,
    Mfile = 33,
    Mlink = 34,
    Nametoolong = 37,
    Nfile = 41,
    Nodev = 43,
    Noent = 44,
    Nomem = 48,
    Nospc = 51,
    Notdir = 54,
    Notempty = 55,
    Notsock = 57,
    Notsup = 58,
    Nxio = 60,
    Overflow = 61,
    Perm = 63,
    Rofs = 69,
    Spipe = 70,
    Stale = 72,
    Timedout = 73,
    Txtbsy = 74,
    Xdev = 75,
}

/// The result of a function of WASI.
pub type Result<T = ()> = std::result::Result<T, Errno>;

impl From<OutOfBounds> for Errno {
    fn from(_: OutOfBounds) -> Self {
        Self::Fault
    }
}

impl From<Os> for Errno {
    fn from(error: Os) -> Self {
        match error {
            Os::EACCES => Self::Acces,
            Os::EAGAIN => Self::Again,
            Os::EBADF => Self::Badf,
            Os::EBUSY => Self::Busy,
            Os::EDQUOT => Self::Dquot,
            Os::EEXIST => Self::Exist,
            Os::EFBIG => Self::Fbig,
            Os::EILSEQ => Self::Ilseq,
            Os::EINTR => Self::Intr,
            Os::EINVAL => Self::Inval,
            Os::EISDIR => Self::Isdir,
            Os::ELOOP => Self::Loop,
            Os::EMFILE => Self::Mfile,
            Os::EMLINK => Self::Mlink,
            Os::ENAMETOOLONG => Self::Nametoolong,
            Os::ENFILE => Self::Nfile,
            Os::ENODEV => Self::Nodev,
            Os::ENOENT => Self::Noent,
            Os::ENOMEM => Self::Nomem,
            Os::ENOSPC => Self::Nospc,
            Os::ENOTDIR => Self::Notdir,
            Os::ENOTEMPTY => Self::Notempty,
            Os::EOPNOTSUPP => Self::Notsup,
            Os::ENXIO => Self::Nxio,
            Os::EOVERFLOW => Self::Overflow,
            Os::EPERM => Self::Perm,
            Os::EROFS => Self::Rofs,
            Os::ESPIPE => Self::Spipe,
            Os::ESTALE => Self::Stale,
            Os::ETIMEDOUT => Self::Timedout,
            Os::ETXTBSY => Self::Txtbsy,
            Os::EXDEV => Self::Xdev,
            _ => Self::Io,
        }
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(number) => Os::from_raw(number).into(),
            // A path that leads out of its directory has no number.
            None if error.kind() == io::ErrorKind::PermissionDenied => Self::Perm,
            None if error.kind() == io::ErrorKind::InvalidInput => Self::Inval,
            None => Self::Io,
        }
    }
}
