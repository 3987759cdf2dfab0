//! The lock of a zone, and the word that tells of a death inside it.

use std::ops::Deref;
use std::thread;

use super::memory::Memory;

/// Where a zone says what it holds; 0 before it is formatted.
const FORMAT: usize = 0;
/// Not 0 while somebody is in a critical section, or has died in one.
const DIRTY: usize = 1;
/// The first word that the structure in the zone may use.
pub const ROOT: usize = 2;

/// A lock between processes, which is opened for the others when its holder dies.
pub trait Lock {
    /// Waits until the lock is ours.
    fn lock(&self);
    /// Lets the next one in.
    fn unlock(&self);
}

/// A zone: its memory, and who may change it.
pub struct Zone<L> {
    memory: Memory,
    lock: L,
}

impl<L: Lock> Zone<L> {
    /// A zone whose memory is all zero, or holds a structure of that format already.
    pub fn new(memory: Memory, lock: L) -> Self {
        Self { memory, lock }
    }

    /// Formats a fresh zone, unless it is formatted; `None` if it holds something else.
    ///
    /// Called before there is a worker that could die here, so without the lock: a reload must not wait for it.
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

    /// The memory, for what needs no lock.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Enters a critical section; `repair` runs first if somebody died in the last one.
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

/// In the critical section of a zone, until dropped.
pub struct Entered<'a, L: Lock> {
    memory: Memory,
    _held: Held<'a, L>,
}

/// The zone's lock, opened last.
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
        // A panic leaves what a death leaves.
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

    /// A lock between threads, opened by the unwinding of a "dead" one.
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
