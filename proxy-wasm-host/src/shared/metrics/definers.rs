//! Which metrics the running configuration has.
//!
//! A *definer* is a plugin in one version: its code and, where they are fixed, its configurations.
//! It is an entry of the metrics' table, whose value counts the VMs of one configuration that are
//! of this version. Each metric names the definers that have defined it. A metric is gone when none
//! of these is in use: after a reload without the plugin, or with a version of it that does not
//! define the metric. What a version has defined stays over a reload to the same version, also where
//! a plugin defines a metric only in some request.
//!
//! A VM of a worker that was killed stays counted until the next reload.

use std::sync::atomic::Ordering;

use super::super::Error;
use super::super::memory::{Memory, pack, unpack};
use super::super::zone::Lock;
use super::{DEFINER, Metrics, metric};

/// How many definers a metric may have at once: versions of a plugin whose VMs are in use together.
const DEFINERS: usize = 4;
/// The words that name them. A word has two ids, of which 0 is none.
pub(super) const WORDS: usize = DEFINERS / 2;

/// A VM's part in the count of its version.
#[derive(Debug)]
pub struct Definer {
    id: u32,
}

impl<L: Lock> Metrics<L> {
    /// Counts a VM that may define metrics. The version tells it from others of the same scope.
    ///
    /// # Errors
    /// When there is no room.
    pub fn join(&self, scope: &[u8], version: &[u8]) -> Result<Definer, Error> {
        let id = self.entry(scope, DEFINER, version)?;
        self.count(id, |count| count + 1);
        Ok(Definer { id })
    }

    /// Counts out a VM that has ended.
    pub fn leave(&self, definer: &Definer) {
        self.count(definer.id, |count| count.saturating_sub(1));
    }

    /// Changes the number of VMs that a definer has in this configuration. It may have none in an
    /// earlier one any more; and a later one, which has replaced this one, counts for itself.
    fn count(&self, id: u32, change: impl Fn(usize) -> usize) {
        let own = self.configuration as usize;
        let Some(word) = self.number(id) else { return };
        let _ = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| match unpack(word) {
            (configuration, count) if configuration == own => Some(pack(own, change(count))),
            (configuration, _) if configuration < own => Some(pack(own, change(0))),
            _ => None,
        });
    }

    /// Whether a VM of that version is in use.
    fn is_in_use(&self, id: u32) -> bool {
        let (configuration, count) = self.number(id).map_or((0, 0), |word| unpack(word.load(Ordering::Relaxed)));
        configuration >= self.configuration as usize && count > 0
    }

    /// Whether the metric at a place is of the running configuration. One without a definer is the
    /// host's own.
    pub(super) fn is_running(&self, at: usize) -> bool {
        let mut ids = definers(self.zone.memory(), at).filter(|&id| id != 0).peekable();
        ids.peek().is_none() || ids.any(|id| self.is_in_use(id))
    }

    /// Names a definer of the metric at a place, instead of one that is no longer in use.
    pub(super) fn add_definer(&self, at: usize, definer: &Definer) {
        if definers(self.zone.memory(), at).any(|id| id == definer.id) {
            return;
        }
        let zone = self.zone.enter(|_| {});
        let ids: Vec<u32> = definers(*zone, at).collect();
        let place = ids.iter().position(|&id| id == definer.id || !self.is_in_use(id)).unwrap_or_default();
        let word = at + metric::DEFINERS + place / 2;
        let (first, second) = unpack(zone.load(word));
        let id = definer.id as usize;
        zone.store(word, if place.is_multiple_of(2) { pack(id, second) } else { pack(first, id) });
    }
}

/// The ids of a metric's definers, and 0 where it could have more.
fn definers(memory: Memory, at: usize) -> impl Iterator<Item = u32> {
    (0..WORDS).flat_map(move |word| {
        let (first, second) = unpack(memory.load(at + metric::DEFINERS + word));
        [first as u32, second as u32]
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::memory::{fuse, leaked};
    use super::super::super::zone::tests::TestLock;
    use super::super::Kind;
    use super::*;

    const WORDS: usize = 8192;

    fn names(metrics: &Metrics<TestLock>) -> Vec<String> {
        let mut names: Vec<_> = metrics
            .samples()
            .iter()
            .map(|sample| format!("{:?} {}", sample.kind, sample.name.escape_ascii()))
            .collect();
        names.sort();
        assert_eq!(names.len(), metrics.len());
        names
    }

    /// The metrics of a configuration, before which there may have been others in the same zone.
    fn open(memory: Memory) -> Metrics<TestLock> {
        Metrics::open(memory, TestLock::default()).unwrap()
    }

    #[test]
    fn a_metric_is_gone_when_no_version_that_defined_it_is_in_use() {
        let metrics = open(leaked(WORDS));
        metrics.define(b"", None, Kind::Counter, b"own").unwrap();
        let old = metrics.join(b"p", b"old").unwrap();
        for name in [&b"a"[..], b"b"] {
            metrics.define(b"p", Some(&old), Kind::Counter, name).unwrap();
        }
        let new = metrics.join(b"p", b"new").unwrap();
        metrics.define(b"p", Some(&new), Kind::Gauge, b"a").unwrap();
        metrics.define(b"p", Some(&new), Kind::Counter, b"b").unwrap();
        assert_eq!(names(&metrics), ["Counter a", "Counter b", "Counter own", "Gauge a"]);
        metrics.leave(&old);
        assert_eq!(names(&metrics), ["Counter b", "Counter own", "Gauge a"]);
        metrics.leave(&new);
        assert_eq!(names(&metrics), ["Counter own"]);
    }

    #[test]
    fn each_worker_counts() {
        let metrics = open(leaked(WORDS));
        let [one, other] = [(); 2].map(|()| metrics.join(b"p", b"v").unwrap());
        metrics.define(b"p", Some(&one), Kind::Counter, b"a").unwrap();
        metrics.leave(&one);
        assert_eq!(names(&metrics), ["Counter a"]);
        metrics.leave(&other);
        assert!(metrics.is_empty());
    }

    #[test]
    fn a_reload_keeps_what_the_same_version_has_defined() {
        let memory = leaked(WORDS);
        let before = open(memory);
        let [same, other] = [b"p", b"q"].map(|scope| {
            let definer = before.join(scope, b"v").unwrap();
            before.define(scope, Some(&definer), Kind::Counter, b"in some request").unwrap();
            definer
        });
        let after = open(memory);
        assert!(after.is_empty());
        let kept = after.join(b"p", b"v").unwrap();
        assert_eq!(after.len(), 1);
        assert_eq!(after.samples()[0].scope, b"p");
        // Old workers still see all, and their end changes nothing.
        assert_eq!(before.len(), 2);
        before.leave(&same);
        before.leave(&other);
        assert_eq!(after.len(), 1);
        after.leave(&kept);
        assert!(after.is_empty());
    }

    #[test]
    fn what_was_gone_goes_on_with_its_number() {
        let metrics = open(leaked(WORDS));
        let first = metrics.join(b"p", b"1").unwrap();
        let id = metrics.define(b"p", Some(&first), Kind::Counter, b"a").unwrap();
        metrics.increment(b"p", id, 3).unwrap();
        metrics.leave(&first);
        let second = metrics.join(b"p", b"2").unwrap();
        assert_eq!(metrics.define(b"p", Some(&second), Kind::Counter, b"a"), Ok(id));
        assert_eq!(metrics.samples()[0].values, [3]);
    }

    #[test]
    fn many_versions_one_after_the_other_take_turns_in_a_metric() {
        let metrics = open(leaked(WORDS));
        for version in 0..3 * DEFINERS as u32 {
            let definer = metrics.join(b"p", &version.to_le_bytes()).unwrap();
            metrics.define(b"p", Some(&definer), Kind::Counter, b"a").unwrap();
            assert_eq!(names(&metrics), ["Counter a"]);
            metrics.leave(&definer);
            assert!(metrics.is_empty());
        }
    }

    #[test]
    fn a_definer_is_not_a_metric() {
        let metrics = open(leaked(WORDS));
        let definer = metrics.join(b"p", b"v").unwrap();
        assert_eq!(metrics.get(b"p", definer.id), Err(Error::NotFound));
        assert_eq!(metrics.increment(b"p", definer.id, 1), Err(Error::NotFound));
        assert_eq!(metrics.record(b"p", definer.id, 1), Err(Error::NotFound));
    }

    #[test]
    fn a_death_at_any_store_leaves_a_metric_that_can_be_defined_again() {
        for die_at in 0.. {
            let metrics = open(leaked(WORDS));
            let define = |version: &[u8]| {
                let definer = metrics.join(b"p", version).unwrap();
                metrics.define(b"p", Some(&definer), Kind::Histogram, b"h").unwrap();
            };
            let survived = fuse::survives(die_at, || define(b"1"));
            define(b"2");
            assert_eq!(names(&metrics), ["Histogram h"]);
            if survived {
                return;
            }
        }
    }
}
