//! Tests that items come once and in order, and that a death at any store neither loses nor doubles
//! an item.

use super::super::memory::{fuse, leaked};
use super::super::zone::tests::TestLock;
use super::*;

fn queues(words: usize) -> SharedQueues<TestLock> {
    SharedQueues::open(leaked(words), TestLock::default()).unwrap()
}

fn take(queues: &SharedQueues<TestLock>, id: u32) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    queues.dequeue(id, &mut value).ok().map(|()| value)
}

#[test]
fn a_queue_has_one_id_in_its_scope() {
    let queues = queues(4096);
    let id = queues.register(b"vm", b"q").unwrap();
    assert_eq!(queues.register(b"vm", b"q"), Ok(id));
    assert_eq!(queues.resolve(b"vm", b"q"), Ok(id));
    assert_ne!(queues.register(b"vm2", b"q"), Ok(id));
    assert_eq!(queues.resolve(b"vm", b"other"), Err(Error::NotFound));
    for unknown in [0, 3, 1025, u32::MAX] {
        assert_eq!(queues.enqueue(unknown, b""), Err(Error::NotFound));
        assert_eq!(take(&queues, unknown), None);
    }
}

#[test]
fn items_come_in_order_and_once() {
    let queues = queues(4096);
    let id = queues.register(b"vm", b"q").unwrap();
    for round in 0..3 {
        (0..20).for_each(|n| queues.enqueue(id, &vec![n; usize::from(n)]).unwrap());
        (0..20).for_each(|n| assert_eq!(take(&queues, id).unwrap(), vec![n; usize::from(n)]));
        assert_eq!(queues.dequeue(id, &mut Vec::new()), Err(Error::Empty));
        assert_eq!(queues.counts(id), Ok(Counts { added: 20 * (round + 1), taken: 20 * (round + 1) }));
    }
}

#[test]
fn a_full_queue_refuses_and_keeps_what_it_has() {
    let queues = queues(4096);
    let id = queues.register(b"vm", b"q").unwrap();
    let held = (0..).take_while(|&n: &u32| queues.enqueue(id, &n.to_le_bytes()).is_ok()).count();
    assert_eq!(queues.enqueue(id, b""), Err(Error::Full));
    assert_eq!(queues.enqueue(id, &[0; 40_000]), Err(Error::TooLarge));
    (0..held as u32).for_each(|n| assert_eq!(take(&queues, id).unwrap(), n.to_le_bytes()));
    queues.enqueue(id, b"room again").unwrap();
}

#[test]
fn there_is_an_end_to_names() {
    let queues = queues(64 << 10);
    assert!((0..limits::QUEUES).all(|n| queues.register(b"vm", &n.to_le_bytes()).is_ok()));
    assert_eq!(queues.register(b"vm", b"one more"), Err(Error::Full));
    assert_eq!(queues.resolve(b"vm", &7usize.to_le_bytes()), Ok(8));
}

#[test]
fn a_death_at_any_store_neither_loses_nor_doubles() {
    for die_at in 0.. {
        let queues = queues(2048);
        let id = queues.register(b"vm", b"q").unwrap();
        (0..3).for_each(|n| queues.enqueue(id, &[n; 20]).unwrap());
        let survived = fuse::survives(die_at, || {
            queues.enqueue(id, &[3; 20]).unwrap();
            (0..3).for_each(|_| drop(take(&queues, id)));
            queues.register(b"vm", b"another").unwrap();
            queues.enqueue(id, &[4; 20]).unwrap();
            (0..2).for_each(|_| drop(take(&queues, id)));
            queues.enqueue(id, &[5; 20]).unwrap();
        });
        queues.enqueue(id, &[6; 20]).unwrap();
        let counts = queues.counts(id).unwrap();
        let left: Vec<_> = std::iter::from_fn(|| take(&queues, id)).collect();
        assert_eq!(counts.added - counts.taken, left.len() as u64);
        assert!(left.windows(2).all(|pair| pair[0] < pair[1]), "{left:?}");
        assert!(left.iter().all(|item| *item == [item[0]; 20]), "{left:?}");
        assert_eq!(left.last().unwrap()[..], [6; 20]);
        // Only the queues themselves use the heap.
        let used: usize = if queues.len() == 2 { 22 } else { 10 };
        assert!(queues.heap.allocate(queues.heap.largest() - used - 4).is_some());
        if survived {
            return;
        }
    }
}

#[test]
fn items_of_many_threads_are_taken_once_each() {
    let memory = leaked(4096);
    let lock = TestLock::default();
    let open = || SharedQueues::open(memory, lock.clone()).unwrap();
    let id = open().register(b"vm", b"q").unwrap();
    let produce = |from: u64| {
        let queues = open();
        (from..from + 500).for_each(|n| {
            while queues.enqueue(id, &n.to_le_bytes()).is_err() {
                std::thread::yield_now();
            }
        });
    };
    let taken = std::sync::Mutex::new(Vec::new());
    let consume = || {
        let queues = open();
        while taken.lock().unwrap().len() < 1500 {
            if let Some(item) = take(&queues, id) {
                taken.lock().unwrap().push(u64::from_le_bytes(item.try_into().unwrap()));
            }
        }
    };
    std::thread::scope(|threads| {
        for n in 0..3 {
            threads.spawn(move || produce(n * 500));
            threads.spawn(consume);
        }
    });
    let mut taken = taken.into_inner().unwrap();
    taken.sort_unstable();
    assert_eq!(taken, (0..1500).collect::<Vec<_>>());
}
