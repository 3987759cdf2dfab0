//! Tests what the store keeps, what it evicts, and that a death at any store does no harm.

use std::collections::BTreeMap;

use super::super::memory::{fuse, leaked};
use super::super::zone::tests::TestLock;
use super::*;

const LRU: Eviction = Eviction::LeastRecentlyUsed;

fn store(words: usize) -> SharedData<TestLock> {
    SharedData::open(leaked(words), TestLock::default()).unwrap()
}

fn get(store: &SharedData<TestLock>, key: &str) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    store.get(b"vm", key.as_bytes(), &mut value).ok().map(|_| value)
}

fn set(store: &SharedData<TestLock>, key: &str, value: &[u8]) -> Result<(), Error> {
    store.set(b"vm", key.as_bytes(), value, 0, LRU)
}

#[test]
fn a_value_is_found_by_scope_and_key() {
    let store = store(4096);
    set(&store, "a", b"1").unwrap();
    set(&store, "b", b"two").unwrap();
    set(&store, "a", b"").unwrap();
    assert_eq!(get(&store, "a").unwrap(), b"");
    assert_eq!(get(&store, "b").unwrap(), b"two");
    assert_eq!(store.get(b"other", b"a", &mut Vec::new()), Err(Error::NotFound));
    assert_eq!(store.get(b"v", b"ma", &mut Vec::new()), Err(Error::NotFound));
    assert_eq!(store.status().items, 2);
}

#[test]
fn cas_lets_only_the_first_writer_win() {
    let store = store(4096);
    set(&store, "k", b"0").unwrap();
    let cas = store.get(b"vm", b"k", &mut Vec::new()).unwrap();
    assert_ne!(cas, 0);
    store.set(b"vm", b"k", b"1", cas, LRU).unwrap();
    assert_eq!(store.set(b"vm", b"k", b"2", cas, LRU), Err(Error::CasMismatch));
    assert_eq!(get(&store, "k").unwrap(), b"1");
    store.set(b"vm", b"new", b"made", u32::MAX, LRU).unwrap();
    assert_eq!(store.set(b"vm", b"new", b"again", u32::MAX, LRU), Err(Error::CasMismatch));
}

#[test]
fn what_was_used_least_recently_goes_first() {
    let store = store(4096);
    let mut keys = Vec::new();
    while store.status().evictions == 0 {
        keys.push(format!("key{}", keys.len()));
        set(&store, keys.last().unwrap(), &[7; 100]).unwrap();
        assert!(get(&store, "key1").is_some() || keys.len() < 2);
    }
    assert_eq!(get(&store, "key0"), None);
    assert!(get(&store, "key2").is_some());
    assert!(keys.len() > 20, "{}", keys.len());
}

#[test]
fn without_eviction_nothing_is_lost() {
    let store = store(4096);
    let put = |n: u32| store.set(b"vm", &n.to_le_bytes(), &[7; 100], 0, Eviction::None);
    let held = (0..).take_while(|&n| put(n).is_ok()).count();
    assert_eq!(put(9999), Err(Error::Full));
    for n in 0..held as u32 {
        assert!(store.get(b"vm", &n.to_le_bytes(), &mut Vec::new()).is_ok());
    }
}

#[test]
fn one_value_may_fill_the_zone_but_not_more() {
    let store = store(4096);
    set(&store, "small", b"x").unwrap();
    let largest = (store.heap.largest() - node::BYTES - 2) * 8;
    assert_eq!(set(&store, "large", &vec![0; largest + 1]), Err(Error::TooLarge));
    assert!(get(&store, "small").is_some(), "what cannot succeed evicts nothing");
    set(&store, "large", &vec![1; largest]).unwrap();
    set(&store, "large", &vec![2; largest]).unwrap();
    assert_eq!(get(&store, "large").unwrap(), vec![2; largest]);
    assert_eq!(set(&store, &"k".repeat(limits::NAME + 1), b""), Err(Error::TooLarge));
}

#[test]
fn an_opened_zone_has_what_was_there() {
    let memory = leaked(4096);
    let first = SharedData::open(memory, TestLock::default()).unwrap();
    set(&first, "k", b"kept").unwrap();
    assert_eq!(get(&SharedData::open(memory, TestLock::default()).unwrap(), "k").unwrap(), b"kept");
    memory.store(0, 1);
    assert!(SharedData::open(memory, TestLock::default()).is_none());
    assert!(SharedData::open(leaked(64), TestLock::default()).is_none());
}

/// Checks that every list and count agrees with what is published.
fn check(store: &SharedData<TestLock>, expected: &BTreeMap<String, Vec<u8>>) {
    for (key, value) in expected {
        assert_eq!(get(store, key).as_ref(), Some(value), "{key}");
    }
    assert_eq!(store.status().items, expected.len() as u64);
    let mut in_order = Vec::new();
    while let Some(oldest) = store.order.oldest() {
        in_order.push(oldest);
        store.remove(oldest);
    }
    assert_eq!(in_order.len(), expected.len());
    let whole = store.heap.allocate(store.heap.largest());
    assert!(whole.is_some(), "all that was freed has merged");
}

#[test]
fn a_death_at_any_store_loses_nothing_that_was_there() {
    for die_at in 0.. {
        let store = store(2048);
        let mut expected = BTreeMap::new();
        for n in 0..20 {
            let (key, value) = (format!("key{n}"), vec![n; 30 + usize::from(n)]);
            set(&store, &key, &value).unwrap();
            expected.insert(key, value);
        }
        let survived = fuse::survives(die_at, || {
            set(&store, "key7", &[77; 90]).unwrap();
            set(&store, "fresh", &[1; 10]).unwrap();
            get(&store, "key3");
        });
        for (key, new) in [("key7", vec![77; 90]), ("fresh", vec![1; 10])] {
            if get(&store, key).as_ref() == Some(&new) {
                expected.insert(key.to_owned(), new);
            }
        }
        check(&store, &expected);
        if survived {
            return;
        }
    }
}

#[test]
fn a_death_while_evicting_or_repairing_leaves_whole_values() {
    for die_at in 0.. {
        let store = store(2048);
        let value = |n: u8| vec![n; 100];
        let fill = |range: std::ops::Range<u8>| range.for_each(|n| set(&store, &format!("key{n}"), &value(n)).unwrap());
        fill(0..100);
        assert!(store.status().evictions > 0);
        let survived = fuse::survives(die_at, || set(&store, "wide", &[9; 1000]).unwrap());
        let repaired = fuse::survives(die_at / 2, || drop(store.enter()));
        let mut expected = BTreeMap::new();
        for n in 0..100 {
            if let Some(found) = get(&store, &format!("key{n}")) {
                assert_eq!(found, value(n));
                expected.insert(format!("key{n}"), found);
            }
        }
        if let Some(found) = get(&store, "wide") {
            assert_eq!(found, [9; 1000]);
            expected.insert("wide".to_owned(), found);
        }
        assert!(expected.len() > 4);
        check(&store, &expected);
        if survived && repaired {
            return;
        }
    }
}

#[test]
fn threads_that_die_and_threads_that_count_agree() {
    let memory = leaked(4096);
    let lock = TestLock::default();
    let open = || SharedData::open(memory, lock.clone()).unwrap();
    set(&open(), "n", &0u64.to_le_bytes()).unwrap();
    let count = |rounds: u64| {
        let store = open();
        for _ in 0..rounds {
            loop {
                let mut value = Vec::new();
                let cas = store.get(b"vm", b"n", &mut value).unwrap();
                let next = u64::from_le_bytes(value.try_into().unwrap()) + 1;
                if store.set(b"vm", b"n", &next.to_le_bytes(), cas, LRU).is_ok() {
                    break;
                }
            }
        }
    };
    let kill = || {
        let store = open();
        for die_at in 0..300 {
            fuse::survives(die_at % 60, || set(&store, "other", &[3; 200]).unwrap());
        }
    };
    std::thread::scope(|threads| {
        (0..3).for_each(|_| drop(threads.spawn(|| count(500))));
        threads.spawn(kill);
    });
    assert_eq!(get(&open(), "n").unwrap(), 1500u64.to_le_bytes());
}
