//! The descriptors of an instance, and how many there may be.

use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::resource::{Resource as Limited, getrlimit};
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::Descriptor;

use super::FIRST;
use crate::limits::wasi::{DESCRIPTORS, DESCRIPTORS_OF_PROCESS, DESCRIPTORS_PART};
use crate::wasm::wasi::errno::{Errno, Result};

/// How many descriptors all instances of this process have.
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// The right to have one descriptor of the process. It ends when it is dropped.
#[derive(Debug)]
pub struct Permit(());

impl Permit {
    /// Takes a descriptor.
    ///
    /// # Errors
    /// When all instances together have too many.
    pub fn take() -> Result<Self> {
        let open = OPEN.fetch_add(1, Ordering::Relaxed);
        // Given back at once if it is one too many.
        let permit = Self(());
        if open < most() { Ok(permit) } else { Err(Errno::Nfile) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The most descriptors of all instances. nginx needs others, for connections.
fn most() -> usize {
    let part = getrlimit(Limited::RLIMIT_NOFILE).map_or(0, |(limit, _)| limit / DESCRIPTORS_PART);
    usize::try_from(part).unwrap_or(usize::MAX).min(DESCRIPTORS_OF_PROCESS)
}

/// What a descriptor is of.
#[derive(Debug)]
pub enum Entry {
    /// A directory that the plugin was given, the one of that number. It is opened when it is first used.
    Given { index: usize, opened: Option<(Resource<Descriptor>, Permit)> },
    /// A directory that was opened.
    Directory { resource: Resource<Descriptor>, _permit: Permit },
    /// A file that was opened.
    File { resource: Resource<Descriptor>, _permit: Permit, state: FileState },
}

/// The state of a file that was opened.
#[derive(Clone, Copy, Debug)]
pub struct FileState {
    pub position: u64,
    /// Whether the guest may read.
    pub reads: bool,
    /// Whether the guest may write.
    pub writes: bool,
    /// Whether the kernel writes at the end.
    pub appends: bool,
}

/// The descriptors of an instance, from [`FIRST`] on.
#[derive(Debug)]
pub struct Table(Vec<Option<Entry>>);

impl Table {
    /// The descriptors of an instance with that many directories.
    pub fn new(given: usize) -> Self {
        Self((0..given).map(|index| Some(Entry::Given { index, opened: None })).collect())
    }

    /// Whether nothing is open but the directories that the instance was given, each in its place.
    pub fn is_as_given(&self, given: usize) -> bool {
        let (first, others) = self.0.split_at(given.min(self.0.len()));
        let is_in_place = |(place, entry): (usize, &Option<Entry>)| matches!(entry, Some(Entry::Given { index, .. }) if *index == place);
        first.len() == given && first.iter().enumerate().all(is_in_place) && others.iter().all(Option::is_none)
    }

    /// What a descriptor is of.
    ///
    /// # Errors
    /// When it is of nothing.
    pub fn get(&self, fd: u32) -> Result<&Entry> {
        index(fd).and_then(|index| self.0.get(index)?.as_ref()).ok_or(Errno::Badf)
    }

    /// Does the same as [`Self::get`], to change it.
    ///
    /// # Errors
    /// When it is of nothing.
    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Entry> {
        index(fd).and_then(|index| self.0.get_mut(index)?.as_mut()).ok_or(Errno::Badf)
    }

    /// The state of a file.
    ///
    /// # Errors
    /// When the descriptor is not of a file.
    pub fn state(&mut self, fd: u32) -> Result<&mut FileState> {
        match self.get_mut(fd)? {
            Entry::File { state, .. } => Ok(state),
            Entry::Given { .. } | Entry::Directory { .. } => Err(Errno::Badf),
        }
    }

    /// Takes away a descriptor.
    ///
    /// # Errors
    /// When it is of nothing.
    pub fn remove(&mut self, fd: u32) -> Result<Entry> {
        index(fd).and_then(|index| self.0.get_mut(index)?.take()).ok_or(Errno::Badf)
    }

    /// Returns the lowest descriptor that is free, and the right to have it.
    ///
    /// # Errors
    /// When the instance has too many, or all instances together.
    pub fn vacant(&mut self, given: usize) -> Result<(u32, Permit)> {
        let most = given + DESCRIPTORS;
        let free = self.0.iter().position(Option::is_none).unwrap_or(self.0.len());
        if free >= most {
            return Err(Errno::Mfile);
        }
        let permit = Permit::take()?;
        Ok((FIRST + u32::try_from(free).map_err(|_| Errno::Mfile)?, permit))
    }

    /// Gives a descriptor that is [vacant](Self::vacant) an entry.
    pub fn fill(&mut self, fd: u32, entry: Entry) {
        let Some(index) = index(fd) else { return };
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(entry);
    }
}

fn index(fd: u32) -> Option<usize> {
    usize::try_from(fd.checked_sub(FIRST)?).ok()
}
