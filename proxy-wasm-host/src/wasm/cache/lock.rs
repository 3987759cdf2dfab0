//! The lock for making an entry: one process compiles, and others wait for its entry, but not
//! forever.

use std::fs::{File, TryLockError};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use super::folder::Folder;

/// The first pause between two attempts, and the longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// A lock, held until it is dropped.
pub struct Lock<'a> {
    folder: &'a Folder,
    name: String,
    _file: File,
}

impl<'a> Lock<'a> {
    /// Waits for the lock; `None` if it is not free within that time, or cannot be made.
    pub fn take(folder: &'a Folder, name: String, patience: Duration) -> Option<Self> {
        let path = folder.path_of(&name);
        // If the lock's file cannot be made, the entry's cannot either; the warning for the entry
        // says so.
        let file =
            folder.lock_file(&name).inspect_err(|error| debug!("cannot lock {}: {error}", path.display())).ok()?;
        match wait(&file, patience) {
            Ok(true) => Some(Self { folder, name, _file: file }),
            Ok(false) => {
                warn!(
                    "a process has held {} for {} s, so its module is compiled here, too",
                    path.display(),
                    patience.as_secs()
                );
                None
            }
            Err(error) => {
                debug!("cannot lock {}: {error}", path.display());
                None
            }
        }
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // A process that waits for the file removed here gets the lock next, and finds the entry
        // made. A process that comes later makes another file, and finds the entry, too.
        if let Err(error) = self.folder.remove(&self.name) {
            debug!("cannot remove {}: {error}", self.folder.path_of(&self.name).display());
        }
    }
}

/// Returns whether the lock was taken in time.
fn wait(file: &File, patience: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    let mut pause = PAUSES.0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if begun.elapsed() >= patience => return Ok(false),
            Err(TryLockError::WouldBlock) => {
                sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}
