//! A range of words that several processes see at once.

use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// The words of a zone. A place is the index of a word. Outside the range reads return nothing and
/// writes are lost, so that damaged memory never makes its reader panic.
#[derive(Clone, Copy)]
pub struct Memory(&'static [AtomicU64]);

impl Memory {
    /// Words that stay mapped as long as this process uses them.
    pub const fn new(words: &'static [AtomicU64]) -> Self {
        Self(words)
    }

    /// The number of words.
    pub const fn size(self) -> usize {
        self.0.len()
    }

    /// Returns a word that is changed without the zone's lock.
    pub fn word(self, at: usize) -> Option<&'static AtomicU64> {
        self.0.get(at)
    }

    /// Returns consecutive words that are changed without the zone's lock.
    pub fn words(self, at: usize, len: usize) -> Option<&'static [AtomicU64]> {
        self.0.get(at..at.checked_add(len)?)
    }

    /// Reads a word.
    #[inline]
    pub fn load(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Reads a word that is an index.
    #[inline]
    pub fn index(self, at: usize) -> usize {
        self.load(at) as usize
    }

    /// Changes a word, after every earlier store.
    #[inline]
    pub fn store(self, at: usize, value: u64) {
        #[cfg(test)]
        fuse::burn();
        if let Some(word) = self.0.get(at) {
            word.store(value, Ordering::Release);
        }
    }

    /// Changes a word that is an index.
    #[inline]
    pub fn set_index(self, at: usize, value: usize) {
        self.store(at, value as u64);
    }

    /// Copies bytes in, from the start of a word, and fills the last word with zeros. Returns the
    /// place of the next word.
    pub fn write(self, at: usize, bytes: &[u8]) -> usize {
        let end = at + words_of(bytes.len());
        let (whole, rest) = bytes.as_chunks::<WORD>();
        // Plain stores are enough here: no other process reads the bytes before a release store
        // publishes them. But they must not move before the store that took the memory from the
        // free list.
        fence(Ordering::Release);
        let mut words = self.0.get(at..end).unwrap_or_default().iter();
        // `zip` polls its left side first; `whole` must be left, or one word of `words` would be
        // lost.
        for (bytes, word) in whole.iter().zip(words.by_ref()) {
            #[cfg(test)]
            fuse::burn();
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        if let Some(word) = words.next() {
            let mut last = [0; WORD];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            word.store(u64::from_ne_bytes(last), Ordering::Relaxed);
        }
        end
    }

    /// Appends `len` bytes to `into`, from the start of a word.
    pub fn read(self, at: usize, len: usize, into: &mut Vec<u8>) {
        let Some(words) = self.0.get(at..at.saturating_add(words_of(len))) else { return };
        let end = into.len() + len;
        into.reserve(words.len() * WORD);
        for word in words {
            into.extend_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        into.truncate(end);
    }

    /// Returns whether the memory holds these bytes.
    pub fn holds(self, at: usize, bytes: &[u8]) -> bool {
        let Some(words) = self.0.get(at..at.saturating_add(words_of(bytes.len()))) else { return false };
        bytes.chunks(WORD).zip(words).all(|(bytes, word)| word.load(Ordering::Relaxed).to_ne_bytes().starts_with(bytes))
    }
}

/// The number of words that hold this many bytes.
pub const fn words_of(bytes: usize) -> usize {
    bytes.div_ceil(WORD)
}

/// Packs two lengths into one word, such as those of a scope and a name.
pub const fn pack(first: usize, second: usize) -> u64 {
    ((first as u64) << 32) | (second as u64 & 0xffff_ffff)
}

/// Returns the two lengths that [`pack`] put together.
pub const fn unpack(word: u64) -> (usize, usize) {
    ((word >> 32) as usize, (word & 0xffff_ffff) as usize)
}

/// Simulates a death at a store: the test's thread "dies" by a panic when its fuse has burnt down.
#[cfg(test)]
pub mod fuse {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    thread_local!(static LEFT: Cell<Option<usize>> = const { Cell::new(None) });

    /// Counts one store.
    pub fn burn() {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                resume_unwind(Box::new("killed"));
            }
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
    }

    /// Runs `body`, which dies after `stores` stores. Returns whether it survived.
    pub fn survives(stores: usize, body: impl FnOnce()) -> bool {
        LEFT.set(Some(stores));
        let survived = catch_unwind(AssertUnwindSafe(body)).is_ok();
        LEFT.set(None);
        survived
    }
}

#[cfg(test)]
pub fn leaked(len: usize) -> Memory {
    Memory::new(Box::leak((0..len).map(|_| AtomicU64::new(0)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_as_they_went_in() {
        let memory = leaked(8);
        for len in [0, 1, 7, 8, 9, 16, 23] {
            let bytes: Vec<u8> = (1..=len).collect();
            assert_eq!(memory.write(2, &bytes), 2 + words_of(bytes.len()));
            let mut back = vec![0xff];
            memory.read(2, bytes.len(), &mut back);
            assert_eq!(back[1..], bytes);
            assert!(memory.holds(2, &bytes));
            assert!(bytes.is_empty() || !memory.holds(3, &bytes));
        }
    }

    #[test]
    fn outside_there_is_nothing() {
        let memory = leaked(2);
        memory.store(2, 1);
        assert_eq!(memory.load(usize::MAX), 0);
        assert!(!memory.holds(1, &[0; 9]) && !memory.holds(usize::MAX, b"x"));
        let mut back = Vec::new();
        memory.read(usize::MAX, 8, &mut back);
        assert!(back.is_empty());
    }

    #[test]
    fn two_lengths_share_a_word() {
        assert_eq!(unpack(pack(7, 64 << 10)), (7, 64 << 10));
    }
}
