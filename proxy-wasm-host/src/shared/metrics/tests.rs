//! Tests that every process sees the same metrics, and that numbers only change as allowed.

use super::super::memory::{fuse, leaked};
use super::super::zone::tests::TestLock;
use super::*;

fn metrics(words: usize) -> Metrics<TestLock> {
    Metrics::open(leaked(words), TestLock::default()).unwrap()
}

#[test]
fn defining_twice_gives_the_same_id() {
    let metrics = metrics(8192);
    let id = metrics.define(b"p", None, Kind::Counter, b"requests").unwrap();
    assert_eq!(metrics.define(b"p", None, Kind::Counter, b"requests"), Ok(id));
    assert_ne!(metrics.define(b"q", None, Kind::Counter, b"requests"), Ok(id));
    assert_eq!(metrics.samples().len(), 2);
}

#[test]
fn one_name_is_a_metric_of_each_kind() {
    let metrics = metrics(8192);
    let [counter, gauge, histogram] = [Kind::Counter, Kind::Gauge, Kind::Histogram]
        .map(|kind| metrics.define(b"p", None, kind, b"requests").unwrap());
    metrics.increment(b"p", counter, 2).unwrap();
    metrics.increment(b"p", gauge, -3).unwrap();
    metrics.record(b"p", histogram, 5).unwrap();
    assert_eq!(metrics.get(b"p", counter), Ok(2));
    assert_eq!(metrics.get(b"p", gauge), Ok(-3i64 as u64));
    assert_eq!(metrics.define(b"p", None, Kind::Gauge, b"requests"), Ok(gauge));
    assert_eq!(metrics.samples().len(), 3);
}

#[test]
fn another_scope_does_not_reach_it() {
    let metrics = metrics(8192);
    let id = metrics.define(b"p", None, Kind::Counter, b"requests").unwrap();
    assert_eq!(metrics.increment(b"q", id, 1), Err(Error::NotFound));
    for unknown in [0, id + 1, u32::MAX] {
        assert_eq!(metrics.get(b"p", unknown), Err(Error::NotFound));
    }
}

#[test]
fn counters_do_not_go_down() {
    let metrics = metrics(8192);
    let id = metrics.define(b"p", None, Kind::Counter, b"c").unwrap();
    metrics.increment(b"p", id, 5).unwrap();
    assert_eq!(metrics.increment(b"p", id, -1), Err(Error::WrongKind));
    assert_eq!(metrics.record(b"p", id, 4), Err(Error::WrongKind));
    assert_eq!(metrics.get(b"p", id), Ok(5));
    metrics.record(b"p", id, 9).unwrap();
    assert_eq!(metrics.get(b"p", id), Ok(9));
}

#[test]
fn gauges_go_both_ways() {
    let metrics = metrics(8192);
    let id = metrics.define(b"p", None, Kind::Gauge, b"g").unwrap();
    metrics.record(b"p", id, 7).unwrap();
    metrics.increment(b"p", id, -9).unwrap();
    assert_eq!(metrics.get(b"p", id).unwrap() as i64, -2);
}

#[test]
fn histograms_count_by_bucket() {
    let metrics = metrics(8192);
    let id = metrics.define(b"p", None, Kind::Histogram, b"h").unwrap();
    [0, 7, 7, u64::from(u32::MAX)].iter().for_each(|&value| metrics.record(b"p", id, value).unwrap());
    assert_eq!(metrics.get(b"p", id), Err(Error::WrongKind));
    assert_eq!(metrics.increment(b"p", id, 1), Err(Error::WrongKind));
    let values = &metrics.samples()[0].values;
    assert_eq!(values[0], 14 + u64::from(u32::MAX));
    assert_eq!((values[1], values[3], values[19], values.len()), (1, 2, 1, 20));
}

#[test]
fn there_is_an_end_to_room() {
    let metrics = metrics(1024);
    let defined =
        (0..).take_while(|&n: &u32| metrics.define(b"p", None, Kind::Counter, &n.to_le_bytes()).is_ok()).count();
    assert!(defined > 30, "{defined}");
    assert_eq!(metrics.define(b"p", None, Kind::Counter, b"more"), Err(Error::Full));
    assert!(metrics.define(b"p", None, Kind::Counter, &0u32.to_le_bytes()).is_ok());
}

#[test]
fn one_process_says_a_number_first() {
    let metrics = metrics(1024);
    assert_eq!([1, 1, 2, 2].map(|number| metrics.is_first(number)), [true, false, true, false]);
}

#[test]
fn a_death_at_any_store_leaves_whole_metrics() {
    for die_at in 0.. {
        let metrics = metrics(1024);
        let survived = fuse::survives(die_at, || {
            metrics.define(b"plugin", None, Kind::Histogram, b"a long enough name").unwrap();
        });
        assert!(
            metrics.samples().iter().all(|sample| sample.scope == b"plugin" && sample.name == b"a long enough name")
        );
        let id = metrics.define(b"plugin", None, Kind::Histogram, b"a long enough name").unwrap();
        metrics.record(b"plugin", id, 3).unwrap();
        assert_eq!(metrics.samples().len(), 1);
        if survived {
            return;
        }
    }
}
