//! Plugins that were loaded and not yet counted.
//!
//! Most are loaded by the master, which must not wait for a zone's lock: if its holder died then, nobody would open it. So
//! the workers, who inherit the list, count it; the first of them to come, and no other.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Stores;
use super::counters::count_load;

/// The list, and a number that no other configuration's list has.
pub struct Loads {
    number: u64,
    list: RefCell<Vec<(String, bool)>>,
}

impl Loads {
    /// An empty list.
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { number: now.as_nanos() as u64, list: RefCell::default() }
    }

    /// A plugin was loaded.
    pub fn add(&self, plugin: &str, from_cache: bool) {
        self.list.borrow_mut().push((plugin.to_owned(), from_cache));
    }

    /// Counts what this worker inherited, if it is the first.
    pub fn count_inherited(&self, stores: &Stores) {
        if stores.metrics.is_first(self.number) {
            self.count(stores);
        }
        self.list.take();
    }

    /// Counts what this worker has loaded.
    pub fn count(&self, stores: &Stores) {
        self.list.take().iter().for_each(|(plugin, from_cache)| count_load(stores, plugin, *from_cache));
    }
}
