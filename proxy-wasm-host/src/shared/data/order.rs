//! The order in which nodes were last used: a list from the newest to the oldest.
//!
//! The links are derived. Each node also has the time of its last use, which is a count of uses;
//! the links are rebuilt from these.

use std::cmp::Reverse;

use super::super::memory::Memory;

/// The number of words that a structure must keep for the order.
pub const ORDER_ROOT: usize = 3;

/// An order of nodes; each node has three words for it.
#[derive(Clone, Copy)]
pub struct Order {
    memory: Memory,
    root: usize,
    /// The position of those three words in a node.
    at: usize,
}

impl Order {
    pub fn new(memory: Memory, root: usize, at: usize) -> Self {
        Self { memory, root, at }
    }

    /// Marks a node as used now.
    pub fn touch(self, node: usize) {
        self.stamp(node);
        if self.newest() != node {
            self.remove(node);
            self.add(node);
        }
    }

    /// Writes the time of use only.
    pub fn stamp(self, node: usize) {
        let now = self.memory.load(self.root + 2) + 1;
        self.memory.store(self.root + 2, now);
        self.memory.store(node + self.at + 2, now);
    }

    /// Adds a node at the newest end.
    pub fn add(self, node: usize) {
        let newest = self.newest();
        self.memory.set_index(self.newer(node), 0);
        self.memory.set_index(self.older(node), newest);
        self.memory.set_index(if newest == 0 { self.root + 1 } else { self.newer(newest) }, node);
        self.memory.set_index(self.root, node);
    }

    /// Removes a node from the list.
    pub fn remove(self, node: usize) {
        let (newer, older) = (self.memory.index(self.newer(node)), self.memory.index(self.older(node)));
        self.memory.set_index(if newer == 0 { self.root } else { self.older(newer) }, older);
        self.memory.set_index(if older == 0 { self.root + 1 } else { self.newer(older) }, newer);
    }

    /// The node that was not used for the longest time.
    pub fn oldest(self) -> Option<usize> {
        Some(self.memory.index(self.root + 1)).filter(|&node| node != 0)
    }

    /// Rebuilds the list from all nodes.
    pub fn rebuild(self, nodes: &mut [usize]) {
        nodes.sort_unstable_by_key(|&node| Reverse(self.memory.load(node + self.at + 2)));
        self.memory.set_index(self.root, 0);
        self.memory.set_index(self.root + 1, 0);
        nodes.iter().rev().for_each(|&node| self.add(node));
    }

    fn newest(self) -> usize {
        self.memory.index(self.root)
    }

    fn newer(self, node: usize) -> usize {
        node + self.at
    }

    fn older(self, node: usize) -> usize {
        node + self.at + 1
    }
}
