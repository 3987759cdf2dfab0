//! A folder of the cache that only one user can write, and the files in it.
//!
//! Each user whose processes compile has a folder of its own, named by the user's number. nginx's
//! master is root and its workers are not: if they shared a folder, an attacker who controls a
//! worker could replace files by a link, by other code, or by a lock that is never released. A path
//! is followed once, to a handle. The owner of the handle is checked, files are opened relative to
//! the handle, and no link is followed.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat, renameat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, fchown, unlinkat};

/// Write permission of anybody but the owner.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The cache's folder, and root's folder in it. Other users may open a file if they know its name,
/// which is a hash.
const SEARCHABLE: u32 = 0o711;

/// The folder of a user other than root.
const PRIVATE: u32 = 0o700;

/// A folder that only its user can write.
pub struct Folder {
    handle: OwnedFd,
    path: PathBuf,
    user: Uid,
}

impl Folder {
    /// Opens the user's folder; `None` if there is none, or if this process may not search it.
    ///
    /// # Errors
    /// When the folder is a link, or others than that user can write it; in words for an operator.
    pub fn open(cache: &Path, user: Uid) -> Result<Option<Self>, String> {
        let path = path_of(cache, user);
        let opened = open_folder(AT_FDCWD, cache).and_then(|cache| open_folder(cache, Path::new(&name_of(user))));
        match opened {
            Ok(handle) => Self::checked(handle, path, user).map(Some),
            Err(Errno::ENOENT | Errno::EACCES) => Ok(None),
            Err(error) => Err(not_opened(&path, error)),
        }
    }

    /// Opens the folder of this process's user. Makes it if it does not exist, and also the cache's
    /// folder that contains it.
    ///
    /// # Errors
    /// Those of [`Folder::open`]; and when the folder cannot be made.
    pub fn make(cache: &Path) -> Result<Self, String> {
        let user = Uid::effective();
        let path = path_of(cache, user);
        let around = make_folder(AT_FDCWD, cache, SEARCHABLE).map_err(|error| not_made(cache, error))?;
        let mode = if user.is_root() { SEARCHABLE } else { PRIVATE };
        let handle = make_folder(&around, Path::new(&name_of(user)), mode).map_err(|error| not_made(&path, error))?;
        Self::checked(handle, path, user)
    }

    /// Makes the folder of another user, for root. Does nothing if others than root can write the
    /// cache's folder: whoever can write there could put another folder in its place, which root
    /// would then give away. The user's own processes make the folder later.
    ///
    /// # Errors
    /// Those of [`Folder::make`].
    pub fn make_for(cache: &Path, user: Uid) -> Result<(), String> {
        let path = path_of(cache, user);
        let around = open_folder(AT_FDCWD, cache).map_err(|error| not_opened(cache, error))?;
        if reason_not_to_trust(&around, Uid::effective()).map_err(|error| not_opened(cache, error))?.is_some() {
            return Ok(());
        }
        let give = || {
            let handle = make_folder(&around, Path::new(&name_of(user)), PRIVATE)?;
            if fstat(&handle)?.st_uid == user.as_raw() {
                Ok(())
            } else {
                fchown(read_handle(&handle)?, Some(user), None)
            }
        };
        give().map_err(|error| not_made(&path, error))
    }

    fn checked(handle: OwnedFd, path: PathBuf, user: Uid) -> Result<Self, String> {
        match reason_not_to_trust(&handle, user) {
            Ok(None) => Ok(Self { handle, path, user }),
            Ok(Some(reason)) => Err(format!("{} is not used: {reason}", path.display())),
            Err(error) => Err(not_opened(&path, error)),
        }
    }

    /// A file's path, for messages.
    pub fn path_of(&self, file: &str) -> PathBuf {
        self.path.join(file)
    }

    /// Opens a file for reading. Does not block if the name is not a regular file.
    pub fn read(&self, file: &str) -> io::Result<File> {
        self.open_file(file, OFlag::O_RDONLY, 0)
    }

    /// Makes a file, which must not exist. Root's entries can be read by every user.
    pub fn create(&self, file: &str) -> io::Result<File> {
        let mode = if self.user.is_root() { 0o644 } else { 0o600 };
        let file = self.open_file(file, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, mode)?;
        // Sets the mode again, whatever the umask of the shell that started nginx is.
        file.set_permissions(Permissions::from_mode(mode))?;
        Ok(file)
    }

    /// Opens a file to lock it; makes it if it does not exist.
    pub fn lock_file(&self, file: &str) -> io::Result<File> {
        self.open_file(file, OFlag::O_RDWR | OFlag::O_CREAT, 0o600)
    }

    fn open_file(&self, file: &str, flags: OFlag, mode: u32) -> io::Result<File> {
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        Ok(openat(&self.handle, file, flags, Mode::from_bits_truncate(mode))?.into())
    }

    /// Renames a file, replacing another.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.handle, from, &self.handle, to)?)
    }

    /// Removes a file.
    pub fn remove(&self, file: &str) -> io::Result<()> {
        Ok(unlinkat(&self.handle, file, UnlinkatFlags::NoRemoveDir)?)
    }
}

/// The text of an error, without its number.
pub fn words(error: &io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), |number| Errno::from_raw(number).desc().to_owned())
}

fn name_of(user: Uid) -> String {
    user.as_raw().to_string()
}

fn path_of(cache: &Path, user: Uid) -> PathBuf {
    cache.join(name_of(user))
}

fn not_opened(path: &Path, error: Errno) -> String {
    let reason = match error {
        // Linux returns these errors for a link where a folder is needed.
        Errno::ENOTDIR | Errno::ELOOP => "it is not a folder, or a symbolic link",
        other => other.desc(),
    };
    format!("{} cannot be opened: {reason}", path.display())
}

fn not_made(path: &Path, error: Errno) -> String {
    match error {
        Errno::ENOTDIR | Errno::ELOOP => not_opened(path, error),
        other => format!("{} cannot be made: {}", path.display(), other.desc()),
    }
}

/// A handle for opening files. It does not need the right to list the folder.
fn open_folder(at: impl AsFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

/// A handle for changing the owner and the mode.
fn read_handle(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    openat(folder, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
}

fn make_folder(at: impl AsFd, path: &Path, mode: u32) -> Result<OwnedFd, Errno> {
    let is_new = match mkdirat(&at, path, Mode::from_bits_truncate(mode)) {
        Ok(()) => true,
        Err(Errno::EEXIST) => false,
        // The folder cannot be made, but an existing one may be usable.
        Err(error) => return open_folder(&at, path).map_err(|_| error),
    };
    let folder = open_folder(&at, path)?;
    if is_new && fstat(&folder)?.st_uid == Uid::effective().as_raw() {
        // Sets the mode again, whatever the umask is.
        nix::sys::stat::fchmod(read_handle(&folder)?, Mode::from_bits_truncate(mode))?;
    }
    Ok(folder)
}

/// Says why users other than `user` may have written the folder's files; `None` if they cannot.
fn reason_not_to_trust(folder: &OwnedFd, user: Uid) -> Result<Option<&'static str>, Errno> {
    let found = fstat(folder)?;
    Ok(if found.st_uid != user.as_raw() {
        Some("it belongs to another user")
    } else if found.st_mode & WRITABLE_BY_OTHERS != 0 {
        Some("others may write it")
    } else {
        None
    })
}
