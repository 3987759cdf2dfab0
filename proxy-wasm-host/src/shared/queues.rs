//! Spec, "Shared Queues": items in order, each taken once.
//!
//! Published: the table of queues, which are never removed, and from each queue the chain of its
//! items, oldest first. One store adds an item, by linking it to the last one. One store takes an
//! item, by making the next one the first. Derived: the position of the last item, the counts, and
//! the heap's free lists.

#[cfg(test)]
mod tests;

use super::Error;
use super::hash::hash;
use super::heap::{HEAP_ROOT, Heap};
use super::memory::{Memory, pack, unpack, words_of};
use super::zone::{Entered, Lock, ROOT, Zone};
use crate::limits::shared as limits;

/// "wasmque" and the version of the layout below.
const FORMAT: u64 = 0x7761_736d_7175_6501;

/// The position of the heap's lists.
const HEAP: usize = ROOT;
/// The position of the table of queues. The id of a queue is its place in the table, from 1.
const TABLE: usize = HEAP + HEAP_ROOT;

/// The words of a queue, counted from its start.
mod queue {
    pub const HASH: usize = 0;
    /// The lengths of the scope and of the name, in bytes.
    pub const NAME: usize = 1;
    pub const FIRST: usize = 2;
    pub const LAST: usize = 3;
    /// The number of items ever added.
    pub const ADDED: usize = 4;
    /// The number of items ever taken.
    pub const TAKEN: usize = 5;
    /// The scope and the name, each starting at a new word.
    pub const BYTES: usize = 6;
}

/// The words of an item, counted from its start.
mod item {
    pub const NEXT: usize = 0;
    pub const SIZE: usize = 1;
    pub const BYTES: usize = 2;
}

/// The queues of a zone.
pub struct SharedQueues<L> {
    zone: Zone<L>,
    heap: Heap,
}

/// How many items a queue has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The number of items ever added.
    pub added: u64,
    /// The number of items ever taken.
    pub taken: u64,
}

impl<L: Lock> SharedQueues<L> {
    /// Opens the queues in a zone, of which a fresh zone has none; `None` if the zone is too small,
    /// or holds something else.
    pub fn open(memory: Memory, lock: L) -> Option<Self> {
        let queues = Self { zone: Zone::new(memory, lock), heap: Heap::new(memory, HEAP, TABLE + limits::QUEUES) };
        if queues.heap.largest() < queue::BYTES {
            return None;
        }
        queues.zone.format(FORMAT, |_| queues.heap.rebuild(&mut []))?;
        Some(queues)
    }

    /// Makes or finds a queue, and returns its id.
    ///
    /// # Errors
    /// When there is no room for a queue.
    pub fn register(&self, scope: &[u8], name: &[u8]) -> Result<u32, Error> {
        if name.len() > limits::NAME || scope.len() > limits::NAME {
            return Err(Error::TooLarge);
        }
        let zone = self.enter();
        let hash = hash(0, scope, name);
        if let Some(id) = self.find(hash, scope, name) {
            return Ok(id);
        }
        let id = self.queues().count() as u32 + 1;
        let place = self.place(id).ok_or(Error::Full)?;
        let words = queue::BYTES + words_of(scope.len()) + words_of(name.len());
        let queue = self.heap.allocate(words).ok_or(Error::Full)?;
        zone.store(queue + queue::HASH, hash);
        zone.store(queue + queue::NAME, pack(scope.len(), name.len()));
        (queue::FIRST..queue::BYTES).for_each(|word| zone.store(queue + word, 0));
        let name_at = zone.write(queue + queue::BYTES, scope);
        zone.write(name_at, name);
        zone.set_index(place, queue);
        Ok(id)
    }

    /// Finds a queue.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn resolve(&self, scope: &[u8], name: &[u8]) -> Result<u32, Error> {
        if name.len() > limits::NAME || scope.len() > limits::NAME {
            return Err(Error::NotFound);
        }
        // No lock is needed: the table only grows, and its entries do not change.
        self.find(hash(0, scope, name), scope, name).ok_or(Error::NotFound)
    }

    /// Appends an item.
    ///
    /// # Errors
    /// When there is no such queue, or no room.
    pub fn enqueue(&self, id: u32, value: &[u8]) -> Result<(), Error> {
        let queue = self.queue(id)?;
        let words = item::BYTES + words_of(value.len());
        if words > self.heap.largest() {
            return Err(Error::TooLarge);
        }
        let zone = self.enter();
        let item = self.heap.allocate(words).ok_or(Error::Full)?;
        zone.store(item + item::NEXT, 0);
        zone.store(item + item::SIZE, value.len() as u64);
        zone.write(item + item::BYTES, value);
        let last = zone.index(queue + queue::LAST);
        zone.set_index(if last == 0 { queue + queue::FIRST } else { last + item::NEXT }, item);
        zone.set_index(queue + queue::LAST, item);
        zone.store(queue + queue::ADDED, zone.load(queue + queue::ADDED) + 1);
        Ok(())
    }

    /// Takes the oldest item, and appends it to `value`.
    ///
    /// # Errors
    /// When there is no such queue, or it has no item.
    pub fn dequeue(&self, id: u32, value: &mut Vec<u8>) -> Result<(), Error> {
        let queue = self.queue(id)?;
        let zone = self.enter();
        let item = zone.index(queue + queue::FIRST);
        if item == 0 {
            return Err(Error::Empty);
        }
        zone.read(item + item::BYTES, zone.load(item + item::SIZE) as usize, value);
        let next = zone.index(item + item::NEXT);
        zone.set_index(queue + queue::FIRST, next);
        if next == 0 {
            zone.set_index(queue + queue::LAST, 0);
        }
        zone.store(queue + queue::TAKEN, zone.load(queue + queue::TAKEN) + 1);
        self.heap.free(item);
        Ok(())
    }

    /// How many items a queue has had, at some moment during the call; does not wait for the lock.
    ///
    /// # Errors
    /// When there is no such queue.
    pub fn counts(&self, id: u32) -> Result<Counts, Error> {
        let queue = self.queue(id)?;
        let memory = self.zone.memory();
        let taken = memory.load(queue + queue::TAKEN);
        Ok(Counts { added: memory.load(queue + queue::ADDED), taken })
    }

    /// The number of queues.
    pub fn len(&self) -> usize {
        self.queues().count()
    }

    /// Returns whether there are no queues.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn enter(&self) -> Entered<'_, L> {
        self.zone.enter(|_| self.repair())
    }

    /// Rebuilds everything that is derived.
    #[cold]
    fn repair(&self) {
        let memory = self.zone.memory();
        let mut in_use = Vec::new();
        for queue in self.queues() {
            in_use.push(queue);
            let before = in_use.len();
            in_use.extend(self.items(queue));
            let length = (in_use.len() - before) as u64;
            memory.set_index(queue + queue::LAST, if length == 0 { 0 } else { in_use[in_use.len() - 1] });
            // A process may have died after it added or took an item and before it counted that. If
            // there are more items than counted, one was added; if there are fewer, one was taken.
            let added = memory.load(queue + queue::ADDED).max(memory.load(queue + queue::TAKEN) + length);
            memory.store(queue + queue::ADDED, added);
            memory.store(queue + queue::TAKEN, added - length);
        }
        self.heap.rebuild(&mut in_use);
    }

    /// The word of the table for that id.
    fn place(&self, id: u32) -> Option<usize> {
        let index = (id as usize).checked_sub(1)?;
        (index < limits::QUEUES).then_some(TABLE + index)
    }

    fn queue(&self, id: u32) -> Result<usize, Error> {
        let queue = self.place(id).map_or(0, |place| self.zone.memory().index(place));
        if queue == 0 { Err(Error::NotFound) } else { Ok(queue) }
    }

    fn queues(&self) -> impl Iterator<Item = usize> {
        let memory = self.zone.memory();
        (TABLE..TABLE + limits::QUEUES).map(move |place| memory.index(place)).take_while(|&queue| queue != 0)
    }

    fn items(&self, queue: usize) -> impl Iterator<Item = usize> {
        let memory = self.zone.memory();
        let follow = move |link: usize| Some(memory.index(link)).filter(|&item| item != 0);
        std::iter::successors(follow(queue + queue::FIRST), move |&item| follow(item + item::NEXT))
    }

    fn find(&self, hash: u64, scope: &[u8], name: &[u8]) -> Option<u32> {
        let memory = self.zone.memory();
        let found = self.queues().position(|queue| {
            memory.load(queue + queue::HASH) == hash
                && unpack(memory.load(queue + queue::NAME)) == (scope.len(), name.len())
                && memory.holds(queue + queue::BYTES, scope)
                && memory.holds(queue + queue::BYTES + words_of(scope.len()), name)
        });
        found.map(|index| index as u32 + 1)
    }
}
