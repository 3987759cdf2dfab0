//! The lock of a zone, and the word that tells of a death inside it.

use std::ops::Deref;
use std::thread;

use super::memory::Memory;

/// The position of the format number; 0 before the zone is formatted.
const FORMAT: usize = 0;
/// Not 0 while a process is in a critical section, or has died in one.
const DIRTY: usize = 1;
/// The first word that the zone's structure may use.
pub const ROOT: usize = 2;

/// A lock between processes. When its holder dies, it is opened for the others.
pub trait Lock {
    /// Waits until this process holds the lock.
    fn lock(&self);
    /// Opens the lock for the next process.
    fn unlock(&self);
}

/// A zone: its memory and its lock.
pub struct Zone<L> {
    memory: Memory,
    lock: L,
}

impl<L: Lock> Zone<L> {
    /// A zone whose memory is all zero, or holds a structure of that format already.
    pub fn new(memory: Memory, lock: L) -> Self {
        Self { memory, lock }
    }

    /// Formats a fresh zone, unless it is formatted already; `None` if it holds something else.
    ///
    /// Called without the lock, before there is a worker that could die here: a reload must not
    /// wait for the lock.
    pub fn format(&self, format: u64, structure: impl FnOnce(Memory)) -> Option<()> {
        match self.memory.load(FORMAT) {
            0 => {
                structure(self.memory);
                self.memory.store(FORMAT, format);
                Some(())
            }
            found => (found == format).then_some(()),
        }
    }

    /// The memory, for code that does not need the lock.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Enters a critical section. `repair` runs first if a process died in an earlier one.
    #[inline]
    pub fn enter(&self, repair: impl FnOnce(Memory)) -> Entered<'_, L> {
        self.lock.lock();
        let entered = Entered { memory: self.memory, _held: Held(&self.lock) };
        if self.memory.load(DIRTY) != 0 {
            tracing::warn!("proxy_wasm: a worker died while it held a shared zone; what it left is repaired");
            repair(self.memory);
        }
        self.memory.store(DIRTY, 1);
        entered
    }
}

/// Stays in the critical section of a zone until it is dropped.
pub struct Entered<'a, L: Lock> {
    memory: Memory,
    _held: Held<'a, L>,
}

/// Holds the zone's lock, which must be opened last.
struct Held<'a, L: Lock>(&'a L);

impl<L: Lock> Deref for Entered<'_, L> {
    type Target = Memory;

    fn deref(&self) -> &Memory {
        &self.memory
    }
}

impl<L: Lock> Drop for Entered<'_, L> {
    #[inline]
    fn drop(&mut self) {
        // A panic leaves the word set, as a death does.
        if !thread::panicking() {
            self.memory.store(DIRTY, 0);
        }
    }
}

impl<L: Lock> Drop for Held<'_, L> {
    #[inline]
    fn drop(&mut self) {
        self.0.unlock();
    }
}

#[cfg(test)]
pub mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A lock between threads. Unwinding opens it when a thread "dies".
    #[derive(Clone, Default)]
    pub struct TestLock(Arc<AtomicBool>);

    impl Lock for TestLock {
        fn lock(&self) {
            while self.0.swap(true, Ordering::Acquire) {
                std::hint::spin_loop();
                thread::yield_now();
            }
        }

        fn unlock(&self) {
            self.0.store(false, Ordering::Release);
        }
    }
}
