//! Spec, "Metrics": numbers by name, each name in the scope of a plugin.
//!
//! Everything here is published: an open-addressed table, into which one store puts a new metric,
//! and from which no metric is ever removed. The id of a metric is its place in the table. The lock
//! is for defining metrics; numbers are changed by atomic additions without the lock.

mod buckets;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use buckets::BUCKETS;

use super::Error;
use super::hash::hash;
use super::memory::{Memory, pack, unpack, words_of};
use super::zone::{Lock, ROOT, Zone};
use crate::limits::shared as limits;

/// "wasmmet" and the version of the layout below.
const FORMAT: u64 = 0x7761_736d_6d65_7401;

/// The position of the first word that no metric uses.
const FREE: usize = ROOT;
/// The word of [`Metrics::is_first`].
const SAID: usize = ROOT + 1;
const TABLE: usize = ROOT + 2;
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
    /// The number; for a histogram the sum, then the count of each bucket.
    pub const VALUE: usize = 4;
}

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
    fn of(word: u64) -> Self {
        match word {
            0 => Self::Counter,
            1 => Self::Gauge,
            _ => Self::Histogram,
        }
    }

    /// The number of words of the metric's value.
    const fn words(self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            // The sum, the buckets, and the values above the last bucket.
            Self::Histogram => 1 + BUCKETS.len() + 1,
        }
    }
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
}

impl<L: Lock> Metrics<L> {
    /// Opens the metrics in a zone, of which a fresh zone has none; `None` if the zone is too
    /// small, or holds something else.
    pub fn open(memory: Memory, lock: L) -> Option<Self> {
        let places = (memory.size() / WORDS_PER_PLACE).checked_ilog2().map(|log| 1 << log)?;
        let metrics = Self { zone: Zone::new(memory, lock), places };
        let first = (TABLE + places).next_multiple_of(LINE);
        if first >= memory.size() {
            return None;
        }
        metrics.zone.format(FORMAT, |memory| memory.set_index(FREE, first))?;
        Some(metrics)
    }

    /// Makes or finds a metric, and returns its id. One name may be a metric of each kind.
    ///
    /// # Errors
    /// When there is no room.
    pub fn define(&self, scope: &[u8], kind: Kind, name: &[u8]) -> Result<u32, Error> {
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

    /// Every metric with its present value.
    pub fn samples(&self) -> Vec<Sample> {
        let memory = self.zone.memory();
        (TABLE..TABLE + self.places)
            .map(|place| memory.index(place))
            .filter(|&at| at != 0)
            .map(|at| self.sample(at))
            .collect()
    }

    /// The number of metrics.
    pub fn len(&self) -> usize {
        let memory = self.zone.memory();
        (TABLE..TABLE + self.places).filter(|&place| memory.index(place) != 0).count()
    }

    /// Returns whether there are no metrics.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sample(&self, at: usize) -> Sample {
        let memory = self.zone.memory();
        let kind = Kind::of(memory.load(at + metric::KIND));
        let (scope_len, name_len) = unpack(memory.load(at + metric::NAME));
        let scope_at = at + metric::VALUE + kind.words();
        let (mut scope, mut name) = (Vec::new(), Vec::new());
        memory.read(scope_at, scope_len, &mut scope);
        memory.read(scope_at + words_of(scope_len), name_len, &mut name);
        let values = (0..kind.words()).map(|word| memory.load(at + metric::VALUE + word)).collect();
        Sample { scope, name, kind, values }
    }

    fn is(&self, at: usize, hash: u64, scope: &[u8], kind: Kind, name: &[u8]) -> bool {
        let memory = self.zone.memory();
        let scope_at = at + metric::VALUE + kind.words();
        memory.load(at + metric::KIND) == kind as u64
            && memory.load(at + metric::HASH) == hash
            && unpack(memory.load(at + metric::NAME)) == (scope.len(), name.len())
            && memory.holds(scope_at, scope)
            && memory.holds(scope_at + words_of(scope.len()), name)
    }

    /// Allocates a metric and writes everything except its place in the table.
    fn allocate(&self, hash: u64, scope: &[u8], kind: Kind, name: &[u8]) -> Result<usize, Error> {
        let memory = self.zone.memory();
        let at = memory.index(FREE);
        let scope_at = at + metric::VALUE + kind.words();
        let name_at = scope_at + words_of(scope.len());
        let end = (name_at + words_of(name.len())).next_multiple_of(LINE);
        if end > memory.size() {
            return Err(Error::Full);
        }
        memory.set_index(FREE, end);
        memory.store(at + metric::HASH, hash);
        memory.store(at + metric::SCOPE, scope_hash(scope));
        memory.store(at + metric::KIND, kind as u64);
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
        let value = memory.word(at + metric::VALUE).ok_or(Error::NotFound)?;
        Ok((Kind::of(memory.load(at + metric::KIND)), value))
    }
}

fn scope_hash(scope: &[u8]) -> u64 {
    hash(0, scope, b"")
}
