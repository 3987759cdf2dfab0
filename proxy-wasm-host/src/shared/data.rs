//! Spec, "Shared Key-Value Store": values by key, each key in the scope of a VM id.
//!
//! Published: the hash table, which consists of chains of nodes that never change in place. A new
//! value is a new node, put into the chain in place of the old one. Derived: the heap's free lists
//! and the order of use. The order is rebuilt from the time when each node was last used.

mod order;
#[cfg(test)]
mod tests;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use self::order::Order;
use super::Error;
use super::hash::{hash, seed};
use super::heap::{HEAP_ROOT, Heap};
use super::memory::{Memory, pack, unpack, words_of};
use super::zone::{Entered, Lock, ROOT, Zone};
use crate::limits::shared as limits;

/// "wasmdat" and the version of the layout below.
const FORMAT: u64 = 0x7761_736d_6461_7403;

/// Where the structure keeps its parts.
mod root {
    use super::{HEAP_ROOT, ROOT};

    pub const SEED: usize = ROOT;
    /// The CAS number given out last.
    pub const CAS: usize = ROOT + 1;
    pub const ITEMS: usize = ROOT + 2;
    pub const EVICTIONS: usize = ROOT + 3;
    /// No value expires before this time; 0 if none expires at all.
    pub const EARLIEST: usize = ROOT + 4;
    /// The round that looks through the zone for expired values: the chain where it goes on, and what
    /// is to become `EARLIEST` when it is over.
    pub const SWEEP: usize = ROOT + 5;
    pub const NEXT_EARLIEST: usize = ROOT + 6;
    pub const ORDER: usize = ROOT + 7;
    pub const HEAP: usize = ORDER + super::order::ORDER_ROOT;
    pub const TABLE: usize = HEAP + HEAP_ROOT;
}

/// The words of a node, counted from its start.
mod node {
    /// The next node in the chain.
    pub const NEXT: usize = 0;
    pub const HASH: usize = 1;
    /// The lengths of the scope and of the key, in bytes.
    pub const NAME: usize = 2;
    /// The length of the value, in bytes.
    pub const VALUE: usize = 3;
    pub const CAS: usize = 4;
    /// The three words of the order of use.
    pub const ORDER: usize = 5;
    /// When the value expires, by the store's clock; 0 for never.
    pub const EXPIRY: usize = 8;
    /// The scope, the key and the value, each starting at a new word.
    pub const BYTES: usize = 9;
}

/// The zone has one chain for this many of its words.
const WORDS_PER_CHAIN: usize = 32;

/// What happens to a new value when there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// The keys that were not used for the longest time are evicted.
    #[default]
    LeastRecentlyUsed,
    /// Nothing is evicted; the new value is refused.
    None,
}

/// How full the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataStatus {
    /// The number of keys.
    pub items: u64,
    /// The number of keys that were evicted.
    pub evictions: u64,
}

/// The store.
pub struct SharedData<L> {
    zone: Zone<L>,
    heap: Heap,
    order: Order,
    chains: usize,
    /// Milliseconds, which all processes of the machine count alike.
    clock: fn() -> u64,
}

fn monotonic() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1_000 + now.tv_nsec() as u64 / 1_000_000)
}

impl<L: Lock> SharedData<L> {
    /// Opens the store in a zone, and makes it if the zone is fresh; `None` if the zone is too
    /// small, or holds something else.
    pub fn open(memory: Memory, lock: L) -> Option<Self> {
        let chains = (memory.size() / WORDS_PER_CHAIN).checked_ilog2().map(|log| 1 << log)?;
        let store = Self {
            zone: Zone::new(memory, lock),
            heap: Heap::new(memory, root::HEAP, root::TABLE + chains),
            order: Order::new(memory, root::ORDER, node::ORDER),
            chains,
            clock: monotonic,
        };
        if store.heap.largest() < node::BYTES {
            return None;
        }
        store.zone.format(FORMAT, |memory| {
            memory.store(root::SEED, seed());
            store.heap.rebuild(&mut []);
        })?;
        Some(store)
    }

    /// Appends the value of a key to `value`, and returns its CAS number.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn get(&self, scope: &[u8], key: &[u8], value: &mut Vec<u8>) -> Result<u32, Error> {
        if key.len() > limits::NAME {
            return Err(Error::NotFound);
        }
        let zone = self.enter();
        let (_, node) = self.find(self.hash(scope, key), scope, key).ok_or(Error::NotFound)?;
        if self.has_expired(node) {
            self.remove(node);
            return Err(Error::NotFound);
        }
        self.order.touch(node);
        let start = node::BYTES + words_of(scope.len()) + words_of(key.len());
        zone.read(node + start, zone.load(node + node::VALUE) as usize, value);
        Ok(zone.load(node + node::CAS) as u32)
    }

    /// Sets the value of a key. If `cas` is not 0, an existing value must have that number. A key
    /// that does not exist is made whatever `cas` is, as in the reference host: a `cas` that
    /// matches no value therefore only creates new keys.
    ///
    /// The old value stays until the new one is published, so if nothing may be evicted, there must
    /// be room for both.
    ///
    /// # Errors
    /// When another number is expected, or the value finds no room.
    pub fn set(&self, scope: &[u8], key: &[u8], value: &[u8], cas: u32, eviction: Eviction) -> Result<(), Error> {
        self.set_with_ttl(scope, key, value, cas, eviction, None)
    }

    /// As [`Self::set`], for a value that expires after a time, if it is given.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub fn set_with_ttl(
        &self,
        scope: &[u8],
        key: &[u8],
        value: &[u8],
        cas: u32,
        eviction: Eviction,
        ttl: Option<Duration>,
    ) -> Result<(), Error> {
        let words = node::BYTES + words_of(scope.len()) + words_of(key.len()) + words_of(value.len());
        if key.len() > limits::NAME || scope.len() > limits::NAME || words > self.heap.largest() {
            return Err(Error::TooLarge);
        }
        let zone = self.enter();
        let hash = self.hash(scope, key);
        let present = self.find(hash, scope, key);
        let differs = |node: usize| zone.load(node + node::CAS) != u64::from(cas) && !self.has_expired(node);
        if cas != 0 && present.is_some_and(|(_, node)| differs(node)) {
            return Err(Error::CasMismatch);
        }
        let node = self.allocate(words, eviction)?;
        // Looks up the key again: its old node may have been evicted to make room.
        let replaced = self.find(hash, scope, key);
        let (link, next) = match replaced {
            Some((link, old)) => (link, zone.index(old + node::NEXT)),
            None => (self.chain(hash), zone.index(self.chain(hash))),
        };
        zone.set_index(node + node::NEXT, next);
        zone.store(node + node::HASH, hash);
        zone.store(node + node::NAME, pack(scope.len(), key.len()));
        zone.store(node + node::VALUE, value.len() as u64);
        zone.store(node + node::CAS, self.next_cas());
        zone.store(node + node::EXPIRY, ttl.map_or(0, |ttl| self.expiry(ttl)));
        let key_at = zone.write(node + node::BYTES, scope);
        let value_at = zone.write(key_at, key);
        zone.write(value_at, value);
        self.order.stamp(node);

        zone.set_index(link, node);

        self.order.add(node);
        match replaced {
            Some((_, old)) => {
                self.order.remove(old);
                self.heap.free(old);
            }
            None => zone.store(root::ITEMS, zone.load(root::ITEMS) + 1),
        }
        Ok(())
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// When there is no such key.
    pub fn delete(&self, scope: &[u8], key: &[u8]) -> Result<(), Error> {
        if key.len() > limits::NAME {
            return Err(Error::NotFound);
        }
        let _zone = self.enter();
        let (_, node) = self.find(self.hash(scope, key), scope, key).ok_or(Error::NotFound)?;
        let had_expired = self.has_expired(node);
        self.remove(node);
        if had_expired { Err(Error::NotFound) } else { Ok(()) }
    }

    /// Calls `each` for keys of a scope that begin with a prefix: those in some chains from `cursor`
    /// on. Returns the next cursor; 0 at the end. A key that is there all the time is listed once.
    pub fn keys(&self, scope: &[u8], prefix: &[u8], cursor: u64, each: &mut dyn FnMut(&[u8])) -> u64 {
        let zone = self.enter();
        let first = usize::try_from(cursor).unwrap_or(usize::MAX).min(self.chains);
        let end = self.chains.min(first.saturating_add(limits::CHAINS));
        let (mut key, mut read) = (Vec::new(), 0);
        for chain in first..end {
            if read > limits::KEYS {
                return chain as u64;
            }
            for (_, node) in self.nodes(root::TABLE + chain) {
                let (scope_len, key_len) = unpack(zone.load(node + node::NAME));
                if scope_len != scope.len() || !zone.holds(node + node::BYTES, scope) || self.has_expired(node) {
                    continue;
                }
                key.clear();
                zone.read(node + node::BYTES + words_of(scope_len), key_len, &mut key);
                read += key_len + node::BYTES;
                if key.starts_with(prefix) {
                    each(&key);
                }
            }
        }
        if end == self.chains { 0 } else { end as u64 }
    }

    /// How full the store is, at some moment during the call.
    pub fn status(&self) -> DataStatus {
        let memory = self.zone.memory();
        DataStatus { items: memory.load(root::ITEMS), evictions: memory.load(root::EVICTIONS) }
    }

    fn enter(&self) -> Entered<'_, L> {
        self.zone.enter(|_| self.repair())
    }

    /// Rebuilds everything that is derived.
    #[cold]
    fn repair(&self) {
        let mut nodes: Vec<usize> =
            (0..self.chains).flat_map(|chain| self.nodes(root::TABLE + chain)).map(|(_, node)| node).collect();
        self.heap.rebuild(&mut nodes);
        self.zone.memory().store(root::ITEMS, nodes.len() as u64);
        self.order.rebuild(&mut nodes);
    }

    fn hash(&self, scope: &[u8], key: &[u8]) -> u64 {
        hash(self.zone.memory().load(root::SEED), scope, key)
    }

    /// The word that points to the first node of a hash's chain.
    fn chain(&self, hash: u64) -> usize {
        root::TABLE + (hash as usize & (self.chains - 1))
    }

    /// The nodes of a chain, each with the word that points to it.
    fn nodes(&self, chain: usize) -> impl Iterator<Item = (usize, usize)> {
        let memory = self.zone.memory();
        let follow = move |link: usize| Some((link, memory.index(link))).filter(|&(_, node)| node != 0);
        std::iter::successors(follow(chain), move |&(_, node)| follow(node + node::NEXT))
    }

    fn find(&self, hash: u64, scope: &[u8], key: &[u8]) -> Option<(usize, usize)> {
        let memory = self.zone.memory();
        self.nodes(self.chain(hash)).find(|&(_, node)| {
            memory.load(node + node::HASH) == hash
                && unpack(memory.load(node + node::NAME)) == (scope.len(), key.len())
                && memory.holds(node + node::BYTES, scope)
                && memory.holds(node + node::BYTES + words_of(scope.len()), key)
        })
    }

    fn has_expired(&self, node: usize) -> bool {
        let expiry = self.zone.memory().load(node + node::EXPIRY);
        expiry != 0 && expiry <= (self.clock)()
    }

    /// When a value expires that is set now. Notes that there is such a value.
    fn expiry(&self, ttl: Duration) -> u64 {
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        let expiry = (self.clock)().saturating_add(ttl);
        self.note_expiry(root::EARLIEST, expiry);
        // The round may have passed the value's chain.
        self.note_expiry(root::NEXT_EARLIEST, expiry);
        expiry
    }

    fn note_expiry(&self, word: usize, expiry: u64) {
        let memory = self.zone.memory();
        let earliest = memory.load(word);
        if earliest == 0 || expiry < earliest {
            memory.store(word, expiry);
        }
    }

    /// Removes what has expired from the next chains of the round. Returns how many chains it looked
    /// through: none if nothing can have expired.
    fn sweep(&self, most: usize) -> usize {
        let memory = self.zone.memory();
        let earliest = memory.load(root::EARLIEST);
        if earliest == 0 || earliest > (self.clock)() {
            return 0;
        }
        let first = usize::try_from(memory.load(root::SWEEP)).unwrap_or(0) & (self.chains - 1);
        let end = self.chains.min(first + most);
        for chain in first..end {
            let mut link = root::TABLE + chain;
            while let node @ 1.. = memory.index(link) {
                match memory.load(node + node::EXPIRY) {
                    0 => link = node + node::NEXT,
                    _ if self.has_expired(node) => self.remove(node),
                    expiry => {
                        self.note_expiry(root::NEXT_EARLIEST, expiry);
                        link = node + node::NEXT;
                    }
                }
            }
        }
        memory.store(root::SWEEP, (end & (self.chains - 1)) as u64);
        if end == self.chains {
            memory.store(root::EARLIEST, memory.load(root::NEXT_EARLIEST));
            memory.store(root::NEXT_EARLIEST, 0);
        }
        end - first
    }

    /// Looks for expired values until a block is free, or through a part of the zone.
    fn allocate_from_expired(&self, words: usize) -> Option<usize> {
        let mut looked = 0;
        while looked < limits::CHAINS {
            looked += match self.sweep(limits::CHAINS_AT_ONCE) {
                0 => break,
                chains => chains,
            };
            if let Some(block) = self.heap.allocate_what_was_freed(words) {
                return Some(block);
            }
        }
        if looked == 0 { None } else { self.heap.allocate(words) }
    }

    /// Allocates a block for a node, and evicts others if that is allowed.
    fn allocate(&self, words: usize, eviction: Eviction) -> Result<usize, Error> {
        // So that few expired values are left when the zone is full.
        self.sweep(limits::CHAINS_WITH_EACH_VALUE);
        let mut block = self.heap.allocate(words).or_else(|| self.allocate_from_expired(words));
        loop {
            if let Some(block) = block {
                return Ok(block);
            }
            let oldest = match eviction {
                Eviction::None => None,
                Eviction::LeastRecentlyUsed => self.order.oldest(),
            };
            self.evict(oldest.ok_or(Error::Full)?);
            block = self.heap.allocate_what_was_freed(words);
        }
    }

    fn evict(&self, node: usize) {
        self.remove(node);
        let memory = self.zone.memory();
        memory.store(root::EVICTIONS, memory.load(root::EVICTIONS) + 1);
    }

    fn remove(&self, node: usize) {
        let memory = self.zone.memory();
        let chain = self.chain(memory.load(node + node::HASH));
        if let Some((link, _)) = self.nodes(chain).find(|&(_, other)| other == node) {
            memory.set_index(link, memory.index(node + node::NEXT));
        }
        self.order.remove(node);
        self.heap.free(node);
        memory.store(root::ITEMS, memory.load(root::ITEMS).saturating_sub(1));
    }

    /// The next CAS number. It is never 0, because 0 means "whatever the number is".
    fn next_cas(&self) -> u64 {
        let memory = self.zone.memory();
        let cas = u64::from((memory.load(root::CAS) as u32).wrapping_add(1).max(1));
        memory.store(root::CAS, cas);
        cas
    }
}
