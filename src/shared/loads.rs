//! Counts the plugins that were loaded.
//!
//! The master loads most plugins, but must not wait for a zone's lock: if the process that holds it
//! died then, nobody would open the lock. So the master keeps a list, which the workers inherit;
//! the first worker counts it, and only that one.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Stores;
use super::counters::count_load;

/// The list of loaded plugins, and a number that identifies this configuration's list.
pub struct Loads {
    number: u64,
    list: RefCell<Vec<(String, bool)>>,
}

impl Loads {
    /// Makes an empty list.
    pub fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { number: now.as_nanos() as u64, list: RefCell::default() }
    }

    /// Adds a plugin that was loaded.
    pub fn add(&self, plugin: &str, from_cache: bool) {
        self.list.borrow_mut().push((plugin.to_owned(), from_cache));
    }

    /// Counts the inherited list, if this worker is the first one.
    pub fn count_inherited(&self, stores: &Stores) {
        if stores.metrics.is_first(self.number) {
            self.count(stores);
        }
        self.list.take();
    }

    /// Counts the plugins that this worker has loaded.
    pub fn count(&self, stores: &Stores) {
        self.list.take().iter().for_each(|(plugin, from_cache)| count_load(stores, plugin, *from_cache));
    }
}
