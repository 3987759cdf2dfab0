//! Spec, "Metrics": numbers by name, each name in the scope of a plugin.
//!
//! Everything here is published: an open-addressed table, into which one store puts a new metric,
//! and from which no metric is ever removed. The id of a metric is its place in the table. The lock
//! is for defining metrics; numbers are changed by atomic additions without the lock.
//!
//! A metric is shown while the running configuration has a plugin that defined it (`definers`).

mod buckets;
mod definers;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use buckets::BUCKETS;
pub use definers::Definer;

use super::Error;
use super::hash::hash;
use super::memory::{Memory, pack, unpack, words_of};
use super::zone::{Lock, ROOT, Zone};
use crate::limits::shared as limits;

/// "wasmmet" and the version of the layout below.
const FORMAT: u64 = 0x7761_736d_6d65_7402;

/// The position of the first word that no metric uses.
const FREE: usize = ROOT;
/// The word of [`Metrics::is_first`].
const SAID: usize = ROOT + 1;
/// The word that counts the configurations that have used the zone.
const CONFIGURATIONS: usize = ROOT + 2;
const TABLE: usize = ROOT + 3;
/// How many places are looked at for a name. A table that is nearly full takes no more metrics.
const PROBES: usize = 1024;
/// The table has one place for this many words of the zone.
const WORDS_PER_PLACE: usize = 16;
/// A metric begins on a cache line of its own, so that workers that count different things do not
/// slow each other down.
const LINE: usize = 8;

/// The words of a metric, counted from its start.
mod metric {
    /// The hash of scope and name.
    pub const HASH: usize = 0;
    /// The hash of the scope alone, which decides who may use the id.
    pub const SCOPE: usize = 1;
    pub const KIND: usize = 2;
    /// The lengths of the scope and of the name, in bytes.
    pub const NAME: usize = 3;
    /// The ids of its definers.
    pub const DEFINERS: usize = 4;
    /// The number; for a histogram the sum, then the count of each bucket.
    pub const VALUE: usize = DEFINERS + super::definers::WORDS;
}

/// The word [`metric::KIND`] of an entry that is not a metric but a definer.
const DEFINER: u64 = 3;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A number that only goes up.
    Counter = 0,
    /// A number that goes up and down.
    Gauge = 1,
    /// Counts of values, by their size.
    Histogram = 2,
}

impl Kind {
    fn of(word: u64) -> Option<Self> {
        match word {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// The number of words of an entry's value, by its [`metric::KIND`].
const fn value_words(kind: u64) -> usize {
    // A histogram has the sum, the buckets, and the values above the last bucket.
    if kind == Kind::Histogram as u64 { 1 + BUCKETS.len() + 1 } else { 1 }
}

/// A metric with its present value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The plugin that defined the metric; empty for the host's own.
    pub scope: Vec<u8>,
    /// The name as the plugin defined it.
    pub name: Vec<u8>,
    /// The metric's kind.
    pub kind: Kind,
    /// The number. For a histogram: the sum, then the count of each bucket, then the count of
    /// values above all bounds.
    pub values: Vec<u64>,
}

/// The metrics of a zone.
pub struct Metrics<L> {
    zone: Zone<L>,
    places: usize,
    /// The number of the configuration whose processes use this value.
    configuration: u32,
}

impl<L: Lock> Metrics<L> {
    /// Opens the metrics in a zone for the processes of one configuration; a fresh zone has none.
    /// `None` if the zone is too small, or holds something else.
    pub fn open(memory: Memory, lock: L) -> Option<Self> {
        let places = (memory.size() / WORDS_PER_PLACE).checked_ilog2().map(|log| 1 << log)?;
        let zone = Zone::new(memory, lock);
        let first = (TABLE + places).next_multiple_of(LINE);
        if first >= memory.size() {
            return None;
        }
        zone.format(FORMAT, |memory| memory.set_index(FREE, first))?;
        let before = memory.word(CONFIGURATIONS)?.fetch_add(1, Ordering::Relaxed);
        Some(Self { zone, places, configuration: before as u32 + 1 })
    }

    /// Makes or finds a metric, and returns its id. One name may be a metric of each kind. A metric
    /// without a definer is the host's own.
    ///
    /// # Errors
    /// When there is no room.
    pub fn define(&self, scope: &[u8], definer: Option<&Definer>, kind: Kind, name: &[u8]) -> Result<u32, Error> {
        let id = self.entry(scope, kind as u64, name)?;
        if let Some(definer) = definer {
            self.add_definer(self.place(id)?, definer);
        }
        Ok(id)
    }

    /// Makes or finds an entry of the table.
    fn entry(&self, scope: &[u8], kind: u64, name: &[u8]) -> Result<u32, Error> {
        if name.len() > limits::NAME || scope.len() > limits::NAME {
            return Err(Error::TooLarge);
        }
        // There is nothing to repair, because nothing is derived: a death loses at most the words
        // of one metric.
        let zone = self.zone.enter(|_| {});
        let hash = hash(0, scope, name);
        let start = hash as usize;
        for step in 0..self.places.min(PROBES) {
            let place = start.wrapping_add(step) & (self.places - 1);
            let found = zone.index(TABLE + place);
            if found == 0 {
                let metric = self.allocate(hash, scope, kind, name)?;
                zone.set_index(TABLE + place, metric);
                return Ok(place as u32 + 1);
            }
            if self.is(found, hash, scope, kind, name) {
                return Ok(place as u32 + 1);
            }
        }
        Err(Error::Full)
    }

    /// Returns whether this process is the first to pass `number`. Used for events that many
    /// processes see and one should count.
    pub fn is_first(&self, number: u64) -> bool {
        self.zone.memory().word(SAID).is_some_and(|said| said.swap(number, Ordering::Relaxed) != number)
    }

    /// Returns the value of a counter or a gauge of that scope.
    ///
    /// # Errors
    /// When there is no such metric, or it is a histogram.
    pub fn get(&self, scope: &[u8], id: u32) -> Result<u64, Error> {
        match self.metric(scope, id)? {
            (Kind::Histogram, _) => Err(Error::WrongKind),
            (_, value) => Ok(value.load(Ordering::Relaxed)),
        }
    }

    /// Adds to a counter or a gauge of that scope.
    ///
    /// # Errors
    /// As [`Self::get`]; and for a counter that would fall.
    pub fn increment(&self, scope: &[u8], id: u32, offset: i64) -> Result<(), Error> {
        match self.metric(scope, id)? {
            (Kind::Histogram, _) => return Err(Error::WrongKind),
            (Kind::Counter, _) if offset < 0 => return Err(Error::WrongKind),
            // A gauge below 0 is stored as a signed number, and shown as one.
            (_, value) => value.fetch_add(offset as u64, Ordering::Relaxed),
        };
        Ok(())
    }

    /// Sets a counter or a gauge of that scope, or records a value in a histogram.
    ///
    /// # Errors
    /// When there is no such metric, or it is a counter that would fall.
    pub fn record(&self, scope: &[u8], id: u32, new: u64) -> Result<(), Error> {
        let (kind, value) = self.metric(scope, id)?;
        match kind {
            Kind::Counter if value.fetch_max(new, Ordering::Relaxed) > new => return Err(Error::WrongKind),
            Kind::Counter => {}
            Kind::Gauge => value.store(new, Ordering::Relaxed),
            Kind::Histogram => {
                let bucket = self.place(id)? + metric::VALUE + 1 + buckets::of(new);
                if let Some(count) = self.zone.memory().word(bucket) {
                    count.fetch_add(1, Ordering::Relaxed);
                }
                value.fetch_add(new, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// The number of a counter or a gauge, for code that counts often.
    pub fn number(&self, id: u32) -> Option<&'static AtomicU64> {
        self.zone.memory().word(self.place(id).ok()? + metric::VALUE)
    }

    /// Every metric of the running configuration, with its present value.
    pub fn samples(&self) -> Vec<Sample> {
        self.running().map(|(at, kind)| self.sample(at, kind)).collect()
    }

    /// The number of metrics of the running configuration.
    pub fn len(&self) -> usize {
        self.running().count()
    }

    fn running(&self) -> impl Iterator<Item = (usize, Kind)> {
        let memory = self.zone.memory();
        (TABLE..TABLE + self.places)
            .map(move |place| memory.index(place))
            .filter(|&at| at != 0)
            .filter_map(move |at| Some((at, Kind::of(memory.load(at + metric::KIND))?)))
            .filter(|&(at, _)| self.is_running(at))
    }

    /// Returns whether there are no metrics.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sample(&self, at: usize, kind: Kind) -> Sample {
        let memory = self.zone.memory();
        let (scope_len, name_len) = unpack(memory.load(at + metric::NAME));
        let scope_at = at + metric::VALUE + value_words(kind as u64);
        let (mut scope, mut name) = (Vec::new(), Vec::new());
        memory.read(scope_at, scope_len, &mut scope);
        memory.read(scope_at + words_of(scope_len), name_len, &mut name);
        let values = (0..value_words(kind as u64)).map(|word| memory.load(at + metric::VALUE + word)).collect();
        Sample { scope, name, kind, values }
    }

    fn is(&self, at: usize, hash: u64, scope: &[u8], kind: u64, name: &[u8]) -> bool {
        let memory = self.zone.memory();
        let scope_at = at + metric::VALUE + value_words(kind);
        memory.load(at + metric::KIND) == kind
            && memory.load(at + metric::HASH) == hash
            && unpack(memory.load(at + metric::NAME)) == (scope.len(), name.len())
            && memory.holds(scope_at, scope)
            && memory.holds(scope_at + words_of(scope.len()), name)
    }

    /// Allocates an entry and writes everything except its place in the table.
    fn allocate(&self, hash: u64, scope: &[u8], kind: u64, name: &[u8]) -> Result<usize, Error> {
        let memory = self.zone.memory();
        let at = memory.index(FREE);
        let scope_at = at + metric::VALUE + value_words(kind);
        let name_at = scope_at + words_of(scope.len());
        let end = (name_at + words_of(name.len())).next_multiple_of(LINE);
        if end > memory.size() {
            return Err(Error::Full);
        }
        memory.set_index(FREE, end);
        memory.store(at + metric::HASH, hash);
        memory.store(at + metric::SCOPE, scope_hash(scope));
        memory.store(at + metric::KIND, kind);
        memory.store(at + metric::NAME, pack(scope.len(), name.len()));
        memory.write(scope_at, scope);
        memory.write(name_at, name);
        Ok(at)
    }

    /// Finds where the metric with that id begins.
    fn place(&self, id: u32) -> Result<usize, Error> {
        let place = (id as usize).checked_sub(1).filter(|&place| place < self.places).ok_or(Error::NotFound)?;
        match self.zone.memory().index(TABLE + place) {
            0 => Err(Error::NotFound),
            at => Ok(at),
        }
    }

    /// Finds a metric of that scope. Ids can be guessed, and a plugin must not change another
    /// plugin's numbers.
    fn metric(&self, scope: &[u8], id: u32) -> Result<(Kind, &'static AtomicU64), Error> {
        let memory = self.zone.memory();
        let at = self.place(id)?;
        if memory.load(at + metric::SCOPE) != scope_hash(scope) {
            return Err(Error::NotFound);
        }
        let kind = Kind::of(memory.load(at + metric::KIND)).ok_or(Error::NotFound)?;
        let value = memory.word(at + metric::VALUE).ok_or(Error::NotFound)?;
        Ok((kind, value))
    }
}

fn scope_hash(scope: &[u8]) -> u64 {
    hash(0, scope, b"")
}
