//! Tests what the store keeps, what it evicts, and that a death at any store does no harm.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

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

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1_000) };
}

/// A store with a clock that stands.
fn timed(words: usize) -> SharedData<TestLock> {
    NOW.set(1_000);
    SharedData { clock: || NOW.get(), ..store(words) }
}

fn set_for(store: &SharedData<TestLock>, key: &str, value: &[u8], ttl: u64, eviction: Eviction) -> Result<(), Error> {
    store.set_with_ttl(b"vm", key.as_bytes(), value, 0, eviction, Some(Duration::from_millis(ttl)))
}

#[test]
fn a_value_expires() {
    let store = timed(4096);
    set_for(&store, "a", b"1", 10, LRU).unwrap();
    set(&store, "b", b"2").unwrap();
    let cas = store.get(b"vm", b"a", &mut Vec::new()).unwrap();
    NOW.set(1_009);
    assert_eq!(get(&store, "a").unwrap(), b"1");
    NOW.set(1_010);
    assert_eq!(keys(&store, b""), [b"b"]);
    store.set(b"vm", b"a", b"2", cas + 7, LRU).expect("there is no value to compare with");
    NOW.set(u64::MAX);
    assert_eq!(get(&store, "a").unwrap(), b"2", "a value that was set without a time stays");
    set_for(&store, "a", b"3", u64::MAX, LRU).unwrap();
    assert_eq!(get(&store, "a"), None);
    assert_eq!((store.status().items, store.status().evictions), (1, 0));
}

#[test]
fn what_has_expired_makes_room_before_anything_is_evicted() {
    let store = timed(4096);
    set_for(&store, "last", b"x", 1_000, Eviction::None).unwrap();
    let put = |n: u32, ttl: u64| set_for(&store, &n.to_string(), &[7; 100], ttl, Eviction::None);
    let held = (0..).take_while(|&n| put(n, 10 + u64::from(n)).is_ok()).count() as u32;
    assert!(held > 20, "{held}");
    NOW.set(1_010 + u64::from(held) / 2);
    let again = (held..).take_while(|&n| put(n, 1_000).is_ok()).count() as u32;
    assert!(again >= held / 2, "{again} of {held}");
    assert_eq!(get(&store, "0"), None);
    assert_eq!(get(&store, "last").unwrap(), b"x");
    assert_eq!(store.status().evictions, 0);
}

/// Fills a store with values that expire, lets all of them expire, and returns how many there were.
fn expired(store: &SharedData<TestLock>) -> u64 {
    let put = |n: u32| set_for(store, &n.to_string(), &[7; 8], 10, Eviction::None);
    let held = (0..).take_while(|&n| put(n).is_ok()).count() as u64;
    NOW.set(1_010);
    held
}

#[test]
fn a_value_is_set_without_a_look_through_the_whole_zone() {
    let store = timed(1 << 18);
    let held = expired(&store);
    let mut left = held;
    for n in 0..200 {
        store.set(b"vm", format!("new{n}").as_bytes(), &[7; 8], 0, Eviction::None).unwrap();
        let removed = left - store.status().items + 1;
        assert!(removed < held / 20, "{removed} of {held} with one value");
        left = store.status().items;
    }
    assert!(left < held, "{left} of {held}");
}

#[test]
fn a_value_that_needs_much_room_finds_it_part_by_part() {
    let store = timed(1 << 18);
    expired(&store);
    let value = vec![7; 1 << 20];
    let tries = (1..).take_while(|_| store.set(b"vm", b"large", &value, 0, Eviction::None).is_err()).count();
    assert!((1..=store.chains / limits::CHAINS).contains(&tries), "{tries}");
    assert_eq!(get(&store, "large").unwrap(), value);
}

#[test]
fn a_value_that_is_set_behind_the_round_is_found_by_the_next_one() {
    let store = timed(4096);
    expired(&store);
    // A round is under way.
    set_for(&store, "first", b"1", 5, Eviction::None).unwrap();
    for n in 0..2 * store.chains {
        NOW.set(1_020 + n as u64);
        set_for(&store, "other", b"2", 1_000_000, Eviction::None).unwrap();
    }
    assert_eq!(store.status().items, 1);
}

#[test]
fn a_key_is_deleted() {
    let store = timed(4096);
    set(&store, "a", b"1").unwrap();
    assert_eq!(store.delete(b"vm", b"a"), Ok(()));
    assert_eq!(store.delete(b"vm", b"a"), Err(Error::NotFound));
    assert_eq!(store.delete(b"vm", &[b'a'; limits::NAME + 1]), Err(Error::NotFound));
    set_for(&store, "a", b"1", 1, LRU).unwrap();
    NOW.set(1_001);
    assert_eq!(store.delete(b"vm", b"a"), Err(Error::NotFound));
    assert_eq!((store.status().items, store.status().evictions), (0, 0));
}

fn keys(store: &SharedData<TestLock>, prefix: &[u8]) -> Vec<Vec<u8>> {
    let (mut found, mut cursor, mut calls) = (Vec::new(), 0, 0);
    loop {
        cursor = store.keys(b"vm", prefix, cursor, &mut |key| found.push(key.to_vec()));
        calls += 1;
        if cursor == 0 {
            found.sort();
            return found;
        }
        assert!(calls < 1_000);
    }
}

#[test]
fn keys_are_listed_by_their_prefix() {
    let store = timed(1 << 18);
    for n in 0..2_000 {
        set(&store, &format!("{}-{n}", if n % 2 == 0 { "even" } else { "odd" }), b"").unwrap();
    }
    store.set(b"other", b"even-x", b"", 0, LRU).unwrap();
    assert_eq!(keys(&store, b"even-").len(), 1_000);
    assert_eq!(keys(&store, b"").len(), 2_000);
    assert_eq!(keys(&store, b"none"), Vec::<Vec<u8>>::new());
    assert_eq!(store.keys(b"vm", b"", u64::MAX, &mut |_| unreachable!()), 0);
}

#[test]
fn one_call_reads_a_bounded_part() {
    let store = timed(1 << 20);
    let key = |n: usize| [&n.to_le_bytes()[..], &[b'k'; 16 << 10]].concat();
    (0..100).for_each(|n| store.set(b"vm", &key(n), b"", 0, LRU).unwrap());
    let mut read = 0;
    assert_ne!(store.keys(b"vm", b"", 0, &mut |key| read += key.len()), 0);
    assert!(read < limits::KEYS + (3 * (16 << 10)), "{read}");
    assert_eq!(keys(&store, b"").len(), 100);
}
