//! Spec, "Metrics": numbers by name, each name in the scope of a plugin.
//!
//! All of it is published: an open-addressed table, into which a new metric is put by one store, and from which none is ever
//! removed. A metric's place in the table is its id. The lock is for defining; numbers are changed by atomic additions without it.

mod buckets;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

pub use buckets::BUCKETS;

use super::hash::hash;
use super::memory::{Memory, pack, unpack, words_of};
use super::zone::{Lock, ROOT, Zone};
use super::{Error, MAX_NAME};

/// "wasmmet" and the version of the layout below.
const FORMAT: u64 = 0x7761_736d_6d65_7401;

/// Where the first word that no metric has is.
const FREE: usize = ROOT;
/// The number of [`Metrics::is_first`].
const SAID: usize = ROOT + 1;
const TABLE: usize = ROOT + 2;
/// Places that are looked at for a name: a table that is nearly full takes no more metrics.
const PROBES: usize = 1024;
/// One place in the table for so many words of the zone.
const WORDS_PER_PLACE: usize = 16;
/// A metric begins on a cache line of its own, so that workers that count different things do not wait for each other.
const LINE: usize = 8;

/// The words of a metric, from where it begins.
mod metric {
    /// Hash of scope and name.
    pub const HASH: usize = 0;
    /// Hash of the scope alone: who may use the id.
    pub const SCOPE: usize = 1;
    pub const KIND: usize = 2;
    /// Bytes of the scope and of the name.
    pub const NAME: usize = 3;
    /// The number; of a histogram the sum, then the count of each bucket.
    pub const VALUE: usize = 4;
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Goes up.
    Counter = 0,
    /// Goes up and down.
    Gauge = 1,
    /// Counts values by their size.
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

    /// Words of its value.
    const fn words(self) -> usize {
        match self {
            Self::Counter | Self::Gauge => 1,
            // The sum, the buckets, and what is above the last.
            Self::Histogram => 1 + BUCKETS.len() + 1,
        }
    }
}

/// A metric and what it says now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The plugin that defined it; empty for the host's own.
    pub scope: Vec<u8>,
    /// As it was defined.
    pub name: Vec<u8>,
    /// What it counts.
    pub kind: Kind,
    /// The number; of a histogram the sum, then the count of each bucket, the last for values above all bounds.
    pub values: Vec<u64>,
}

/// The metrics of a zone.
pub struct Metrics<L> {
    zone: Zone<L>,
    places: usize,
}

impl<L: Lock> Metrics<L> {
    /// The metrics in a zone, none if it is fresh; `None` if the zone is too small, or holds something else.
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

    /// Makes or finds a metric; tells its id.
    pub fn define(&self, scope: &[u8], kind: Kind, name: &[u8]) -> Result<u32, Error> {
        if name.len() > MAX_NAME || scope.len() > MAX_NAME {
            return Err(Error::TooLarge);
        }
        // Nothing here is derived, so there is nothing to repair: a death loses at most the words of one metric.
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
            if self.is(found, hash, scope, name) {
                let same = Kind::of(zone.load(found + metric::KIND)) == kind;
                return if same { Ok(place as u32 + 1) } else { Err(Error::WrongKind) };
            }
        }
        Err(Error::Full)
    }

    /// Whether this is the first process to say that number: for what many processes know and one shall count.
    pub fn is_first(&self, number: u64) -> bool {
        self.zone.memory().word(SAID).is_some_and(|said| said.swap(number, Ordering::Relaxed) != number)
    }

    /// The value of a counter or a gauge of that scope.
    pub fn get(&self, scope: &[u8], id: u32) -> Result<u64, Error> {
        match self.metric(scope, id)? {
            (Kind::Histogram, _) => Err(Error::WrongKind),
            (_, value) => Ok(value.load(Ordering::Relaxed)),
        }
    }

    /// Adds to a counter or a gauge of that scope.
    pub fn increment(&self, scope: &[u8], id: u32, offset: i64) -> Result<(), Error> {
        match self.metric(scope, id)? {
            (Kind::Histogram, _) => return Err(Error::WrongKind),
            (Kind::Counter, _) if offset < 0 => return Err(Error::WrongKind),
            // A gauge below 0 is kept, and shown, as the signed number that it is.
            (_, value) => value.fetch_add(offset as u64, Ordering::Relaxed),
        };
        Ok(())
    }

    /// Sets a counter or a gauge of that scope, or counts a value in a histogram.
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

    /// The number of a counter or gauge itself, for what counts often.
    pub fn number(&self, id: u32) -> Option<&'static AtomicU64> {
        self.zone.memory().word(self.place(id).ok()? + metric::VALUE)
    }

    /// Every metric there is, and what it says now.
    pub fn samples(&self) -> Vec<Sample> {
        let memory = self.zone.memory();
        (TABLE..TABLE + self.places)
            .map(|place| memory.index(place))
            .filter(|&at| at != 0)
            .map(|at| self.sample(at))
            .collect()
    }

    /// How many metrics there are.
    pub fn len(&self) -> usize {
        let memory = self.zone.memory();
        (TABLE..TABLE + self.places).filter(|&place| memory.index(place) != 0).count()
    }

    /// Whether there is none.
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

    fn is(&self, at: usize, hash: u64, scope: &[u8], name: &[u8]) -> bool {
        let memory = self.zone.memory();
        let scope_at = at + metric::VALUE + Kind::of(memory.load(at + metric::KIND)).words();
        memory.load(at + metric::HASH) == hash
            && unpack(memory.load(at + metric::NAME)) == (scope.len(), name.len())
            && memory.holds(scope_at, scope)
            && memory.holds(scope_at + words_of(scope.len()), name)
    }

    /// Room for a metric, written but for its place in the table.
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

    /// Where the metric with that id begins.
    fn place(&self, id: u32) -> Result<usize, Error> {
        let place = (id as usize).checked_sub(1).filter(|&place| place < self.places).ok_or(Error::NotFound)?;
        match self.zone.memory().index(TABLE + place) {
            0 => Err(Error::NotFound),
            at => Ok(at),
        }
    }

    /// A metric of that scope: ids can be guessed, and another plugin's numbers are not to be changed.
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
