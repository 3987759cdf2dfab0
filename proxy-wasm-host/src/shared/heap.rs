//! Allocation inside a zone: blocks that fill a range of words; free blocks are in lists by size.
//!
//! A block has its size in its first and in its last word, so that a freed block finds its
//! neighbours and merges with those that are free. Everything in the heap is derived (see
//! [`shared`](super)). After a death it is rebuilt from the blocks in use, whose own first and last
//! words do not change while they are in use.

use super::memory::Memory;

/// Words of a block outside its payload: the size and whether it is in use, at both ends.
const TAGS: usize = 2;
/// The smallest block: a free block has its two links between the tags.
const SMALLEST: usize = TAGS + 2;
/// The number of lists of free blocks: list n has blocks of 2^n words or more, up to 2^(n+1).
const LISTS: usize = usize::BITS as usize;
/// How many blocks of a list are looked at before a larger block is split.
const GLANCE: usize = 16;
/// How many blocks are looked at where there is no larger block. A block that would fit may be
/// missed.
const SEARCH: usize = 1024;

/// The number of words that a structure must keep for the heap's lists.
pub const HEAP_ROOT: usize = LISTS;

/// A range of words for allocation.
#[derive(Clone, Copy)]
pub struct Heap {
    memory: Memory,
    /// The position of the lists' heads.
    lists: usize,
    start: usize,
    end: usize,
}

impl Heap {
    /// The heap that allocates the words from `start` on, and has its lists at `lists`.
    pub fn new(memory: Memory, lists: usize, start: usize) -> Self {
        Self { memory, lists, start, end: memory.size() }
    }

    /// The most words that one allocation can get.
    pub fn largest(self) -> usize {
        self.end.saturating_sub(self.start + TAGS)
    }

    /// Makes all words free except the blocks in use, which are given as [`Self::allocate`]
    /// returned them.
    pub fn rebuild(self, in_use: &mut [usize]) {
        in_use.sort_unstable();
        (self.lists..self.lists + LISTS).for_each(|list| self.memory.store(list, 0));
        let mut free_from = self.start;
        for &payload in &*in_use {
            let block = payload - 1;
            self.add_free(free_from, block);
            free_from = block + self.size(block);
        }
        self.add_free(free_from, self.end);
    }

    /// Allocates a block of at least `words` words, and returns where its payload begins.
    pub fn allocate(self, words: usize) -> Option<usize> {
        self.allocate_within(words, SEARCH)
    }

    /// Does the same as [`Self::allocate`], without the long search: only the block that was freed
    /// last can fit now, and it is the first of its list.
    pub fn allocate_what_was_freed(self, words: usize) -> Option<usize> {
        self.allocate_within(words, 0)
    }

    fn allocate_within(self, words: usize, search: usize) -> Option<usize> {
        let needed = words.checked_add(TAGS)?.max(SMALLEST);
        let block = self.find(needed, search)?;
        let size = self.size(block);
        self.unlink(block);
        let taken = if size - needed < SMALLEST { size } else { needed };
        self.add_free(block + taken, block + size);
        self.tag(block, taken, true);
        Some(block + 1)
    }

    /// Frees a block.
    pub fn free(self, payload: usize) {
        let (mut start, mut end) = (payload - 1, payload - 1 + self.size(payload - 1));
        if end < self.end && !self.is_in_use(end) {
            self.unlink(end);
            end += self.size(end);
        }
        if start > self.start && self.memory.load(start - 1) & 1 == 0 {
            start -= (self.memory.load(start - 1) >> 1) as usize;
            self.unlink(start);
        }
        self.add_free(start, end);
    }

    fn find(self, needed: usize, search: usize) -> Option<usize> {
        let own = list_of(needed);
        let fits = |&block: &usize| self.size(block) >= needed;
        self.blocks(own)
            .take(GLANCE)
            .find(fits)
            .or_else(|| (own + 1..LISTS).find_map(|list| self.blocks(list).next()))
            .or_else(|| self.blocks(own).skip(GLANCE).take(search).find(fits))
    }

    fn blocks(self, list: usize) -> impl Iterator<Item = usize> {
        let block = move |at: usize| Some(self.memory.index(at)).filter(|&block| block != 0);
        std::iter::successors(block(self.lists + list), move |&at| block(next(at)))
    }

    fn add_free(self, start: usize, end: usize) {
        let size = end.saturating_sub(start);
        if size < SMALLEST {
            // A block that is too small for the links stays in use for good, so that no neighbour
            // merges with it.
            if size > 0 {
                self.tag(start, size, true);
            }
            return;
        }
        self.tag(start, size, false);
        let list = self.lists + list_of(size);
        let first = self.memory.index(list);
        self.memory.set_index(next(start), first);
        self.memory.set_index(previous(start), list);
        if first != 0 {
            self.memory.set_index(previous(first), start);
        }
        self.memory.set_index(list, start);
    }

    fn unlink(self, block: usize) {
        let (before, after) = (self.memory.index(previous(block)), self.memory.index(next(block)));
        // The first block of a list has the list's head as its predecessor.
        let link = if before < self.start { before } else { next(before) };
        self.memory.set_index(link, after);
        if after != 0 {
            self.memory.set_index(previous(after), before);
        }
    }

    fn tag(self, block: usize, size: usize, in_use: bool) {
        let tag = (size as u64) << 1 | u64::from(in_use);
        self.memory.store(block, tag);
        self.memory.store(block + size - 1, tag);
    }

    fn size(self, block: usize) -> usize {
        (self.memory.load(block) >> 1) as usize
    }

    fn is_in_use(self, block: usize) -> bool {
        self.memory.load(block) & 1 != 0
    }
}

/// The list for blocks of that size.
fn list_of(size: usize) -> usize {
    size.max(1).ilog2() as usize
}

/// Where a free block keeps the position of the next block in its list.
fn next(block: usize) -> usize {
    block + 1
}

/// Where a free block keeps the position of the block, or of the list's head, before it.
fn previous(block: usize) -> usize {
    block + 2
}

#[cfg(test)]
mod tests {
    use super::super::memory::leaked;
    use super::*;

    fn heap(words: usize) -> Heap {
        let heap = Heap::new(leaked(HEAP_ROOT + words), 0, HEAP_ROOT);
        heap.rebuild(&mut []);
        heap
    }

    #[test]
    fn the_whole_of_it_can_be_one_block() {
        let heap = heap(100);
        let block = heap.allocate(heap.largest()).unwrap();
        assert_eq!(heap.allocate(1), None);
        heap.free(block);
        assert!(heap.allocate(heap.largest()).is_some());
        assert_eq!(heap.allocate(usize::MAX), None);
    }

    #[test]
    fn freed_neighbours_merge_in_any_order() {
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]] {
            let heap = heap(100);
            let blocks = [10, 20, 30].map(|words| heap.allocate(words).unwrap());
            order.iter().for_each(|&index| heap.free(blocks[index]));
            assert!(heap.allocate(heap.largest()).is_some(), "{order:?}");
        }
    }

    #[test]
    fn a_fit_is_found_behind_many_that_are_too_small() {
        let heap = heap(100 * 42);
        let blocks: Vec<_> = (0..100).map(|_| heap.allocate(40).unwrap()).collect();
        // Free blocks that do not touch each other; the one that fits comes last in its list.
        let wide = heap.allocate(0);
        assert_eq!(wide, None);
        blocks.iter().step_by(2).for_each(|&block| heap.free(block));
        assert!(heap.allocate(40).is_some());
        assert_eq!(heap.allocate(60), None);
    }

    #[test]
    fn rebuilding_keeps_what_is_in_use_and_frees_the_rest() {
        let heap = heap(200);
        let blocks: Vec<_> = std::iter::from_fn(|| heap.allocate(8)).collect();
        let mut kept = vec![blocks[7], blocks[3]];
        kept.iter().for_each(|&block| heap.memory.store(block, 7));
        heap.rebuild(&mut kept);
        let mut again: Vec<_> = std::iter::from_fn(|| heap.allocate(8)).collect();
        assert!(!again.iter().any(|block| kept.contains(block)));
        again.extend(kept);
        again.sort_unstable();
        assert_eq!(again, blocks);
    }
}
