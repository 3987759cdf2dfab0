//! Every order, to a depth, of what sources, plugins, clients and clocks do; and long random ones.
//! [`Server`] and [`check`] look at each step, [`check_whole`] at the end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::super::state::Stage;
use super::body::{Chunk, Text};
use super::server::{ANSWER, Does, Ended, PAGE, Script, Server, Set};

/// Makes a choice out of so many.
type Choose = Rc<dyn Fn(usize) -> usize>;

/// What has happened so far.
type Trace = Rc<RefCell<Vec<String>>>;

/// What happens from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Bytes(usize),
    Flush,
    Last(usize),
    /// The upstream ends without the end of the body.
    Truncate,
    Turn,
    TimeOut,
    Resume(usize),
    FailOpen(usize),
    Answer,
    Page,
    Close,
    ClientTakes,
    CallsEnd,
}

/// The source of the body.
struct Upstream {
    sent: usize,
    is_over: bool,
    is_truncated: bool,
    flushes: bool,
    /// Whether the response may end early.
    may_break: bool,
}

impl Upstream {
    fn chunk(&mut self, server: &Server, size: usize, last: bool) {
        let chunk = Chunk { start: self.sent, size, last, flush: self.flushes && !last };
        self.sent += size;
        self.is_over |= last;
        server.body_filter(chunk);
    }

    /// The steps that are possible now.
    fn steps(&self, server: &Server) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.is_over {
            match server.set.content_length.map(|length| length as usize - self.sent) {
                None => steps.extend([Step::Bytes(2), Step::Last(0), Step::Last(9)]),
                Some(0) => steps.push(Step::Last(0)),
                Some(left) => steps.extend([Step::Bytes(left.min(2)), Step::Bytes(left), Step::Last(left)]),
            }
            steps.push(Step::Flush);
            if server.set.from_upstream && self.may_break {
                steps.push(Step::Truncate);
            }
        }
        let possible = [
            (server.is_woken.get(), Step::Turn),
            (server.clock.get() && self.may_break, Step::TimeOut),
            (server.unsent.get() > 0, Step::ClientTakes),
            (server.slots.iter().any(|slot| slot.calls.get()), Step::CallsEnd),
            (self.may_break, Step::Answer),
            (self.may_break, Step::Page),
            (self.may_break, Step::Close),
        ];
        steps.extend(possible.iter().filter(|(is_possible, _)| *is_possible).map(|(_, step)| *step));
        for slot in (0..server.slots.len()).filter(|slot| server.state.is_held_by(*slot)) {
            steps.extend([Step::Resume(slot), Step::FailOpen(slot)]);
        }
        steps
    }

    fn take(&mut self, server: &Server, step: Step) {
        match step {
            Step::Bytes(size) => self.chunk(server, size, false),
            Step::Last(size) => self.chunk(server, size, true),
            Step::Flush => server.body_filter(Chunk { start: self.sent, size: 0, last: false, flush: true }),
            Step::Truncate => {
                (self.is_over, self.is_truncated) = (true, true);
                server.upstream_is_active.set(false);
                server.body_filter(Chunk { start: self.sent, size: 0, last: false, flush: true });
            }
            Step::Turn => server.turn(),
            Step::TimeOut => server.time_out(),
            Step::Resume(slot) => server.resume(slot),
            Step::FailOpen(slot) => server.fail_open(slot),
            Step::Answer => server.answer(Text(None)),
            Step::Page => server.answer(Text(Some(503))),
            Step::Close => server.close(),
            Step::ClientTakes => {
                server.unsent.set(0);
                server.body_filter(Chunk::default());
            }
            Step::CallsEnd => {
                server.slots.iter().for_each(|slot| slot.calls.set(false));
                server.is_woken.set(true);
            }
        }
    }
}

/// Whether a plugin holds what must not be held for ever: the header, the end of the body, a piece
/// that does not come from an upstream, which has a timeout of its own, or all that it may.
fn must_be_timed(server: &Server) -> bool {
    let holds_header = matches!(server.state.stage.get(), Stage::HeaderHeld(_));
    let holds_end = (0..server.slots.len()).any(|slot| server.holds_end(slot));
    let is_full = server.state.held().is_some_and(|held| held.is_full());
    let holds = holds_header || holds_end || is_full || server.state.holds_piece() && !server.set.from_upstream;
    holds && server.ended.get().is_none()
}

/// What holds after each step.
fn check(server: &Server) {
    if server.is_gone() {
        return;
    }
    let is_held = server.state.holder().is_some();
    match server.state.stage.get() {
        Stage::Failed(_) => assert!(server.held.get(), "nginx must not end a response that is to be a page"),
        Stage::Cut | Stage::Answering | Stage::Answered | Stage::Dropping => {}
        _ => assert_eq!(server.held.get(), is_held || !server.nothing_waits(), "what is held is reported"),
    }
    assert_eq!(server.clock.get(), must_be_timed(server), "the clock runs while something timed is held");
}

/// What holds when all plugins have resumed, the source is over, and the client has taken all.
fn check_whole(server: &Server, upstream: &Upstream) {
    let (bytes, is_whole) = server.body();
    let is_prefix = |bytes: &[usize]| bytes.iter().copied().eq(0..bytes.len());
    assert!(!server.clock.get() || server.is_gone());
    match server.ended.get() {
        Some(Ended::Answer) => assert_eq!((bytes, is_whole), (vec![ANSWER], true)),
        Some(Ended::Page(_)) => assert_eq!((bytes, is_whole), (vec![PAGE], true)),
        Some(Ended::Cut) => assert!(is_prefix(&bytes) || bytes == [ANSWER]),
        None if upstream.is_truncated => assert!(is_prefix(&bytes) && !is_whole),
        None => {
            assert!(is_prefix(&bytes) && (bytes.len() == upstream.sent || server.is_without_body()), "{bytes:?}");
            assert!(is_whole || server.is_without_body());
            assert!(server.state.holder().is_none() && server.nothing_waits() && !server.held.get());
        }
    }
    let mut consumed = server.consumed();
    consumed.retain(|place| *place < PAGE);
    consumed.sort_unstable();
    let count = consumed.len();
    consumed.dedup();
    assert_eq!(count, consumed.len(), "the source gets its memory back once");
    if server.ended.get().is_none() {
        assert_eq!(count, upstream.sent, "the source gets all its memory back");
    }
}

/// Runs one order of steps, then lets all plugins resume and the source end.
fn run(set: Set, flushes: bool, choose: &Choose, steps: usize, does: &'static Choice, trace: &Trace) {
    let is_over = Rc::new(Cell::new(false));
    let script: Script = {
        let (choose, is_over) = (choose.clone(), is_over.clone());
        let trace = trace.clone();
        Box::new(move |callback, slot| {
            let does = if is_over.get() { Does::Continue } else { does.does[choose(does.does.len())] };
            trace.borrow_mut().push(format!("{callback:?} of {slot}: {does:?}"));
            does
        })
    };
    let server = Server::new(set, script);
    let mut upstream = Upstream { sent: 0, is_over: false, is_truncated: false, flushes, may_break: does.may_break };
    server.header();
    check(&server);
    for _ in 0..steps {
        let possible = upstream.steps(&server);
        if server.is_gone() || possible.is_empty() {
            break;
        }
        let step = possible[choose(possible.len())];
        trace.borrow_mut().push(format!("{step:?}"));
        upstream.take(&server, step);
        check(&server);
    }
    is_over.set(true);
    for _ in 0..50 {
        let possible = upstream.steps(&server);
        let find = |is_meant: fn(&Step) -> bool| possible.iter().rev().copied().find(is_meant);
        let step = find(|step| *step == Step::Turn)
            .or_else(|| find(|step| matches!(step, Step::Resume(_) | Step::ClientTakes | Step::CallsEnd)))
            .or_else(|| find(|step| matches!(step, Step::Last(_))));
        let Some(step) = step.filter(|_| !server.is_gone()) else { break };
        trace.borrow_mut().push(format!("then {step:?}"));
        upstream.take(&server, step);
        check(&server);
    }
    check_whole(&server, &upstream);
}

/// Every order of so many steps. Says which one failed.
fn every(set: Set, flushes: bool, steps: usize, does: &'static Choice) -> usize {
    let path: Rc<RefCell<Vec<(usize, usize)>>> = Rc::default();
    let mut runs = 0;
    loop {
        let at = Cell::new(0);
        let choose: Choose = {
            let path = path.clone();
            Rc::new(move |of| {
                let position = at.replace(at.get() + 1);
                let mut path = path.borrow_mut();
                if position == path.len() {
                    path.push((0, of));
                }
                path[position].0
            })
        };
        explained(set, flushes, &choose, steps, does);
        runs += 1;
        let mut path = path.borrow_mut();
        while path.last().is_some_and(|(choice, of)| choice + 1 == *of) {
            path.pop();
        }
        match path.last_mut() {
            Some((choice, _)) => *choice += 1,
            None => return runs,
        }
    }
}

/// Long orders, of which no two are the same. Says which one failed.
fn random(seed: u64, steps: usize, does: &'static Choice) {
    let state = Cell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let choose: Choose = Rc::new(move |of| {
        let mut next = state.get();
        next ^= next << 13;
        next ^= next >> 7;
        next ^= next << 17;
        state.set(next);
        (next >> 32) as usize % of
    });
    let plugins = 1 + choose(3);
    let set = Set {
        plugins,
        by_lua: choose(plugins + 1),
        from_upstream: choose(2) == 0,
        content_length: [None, Some(4), Some(7)][choose(3)],
        trailers: choose(2) as u32,
        limit: [6, 100][choose(2)],
        cannot_wait: choose(10) == 0,
    };
    let flushes = choose(2) == 0;
    explained(set, flushes, &choose, steps, does);
}

fn explained(set: Set, flushes: bool, choose: &Choose, steps: usize, does: &'static Choice) {
    let trace = Trace::default();
    let run = std::panic::AssertUnwindSafe(|| run(set, flushes, choose, steps, does, &trace));
    if let Err(panic) = std::panic::catch_unwind(run) {
        eprintln!("{set:?}, flushes: {flushes}: {}", trace.borrow().join(", "));
        std::panic::resume_unwind(panic);
    }
}

/// What plugins choose from, and whether the response may end early otherwise.
struct Choice {
    does: &'static [Does],
    may_break: bool,
}

const PAUSES: Choice = Choice { does: &[Does::Continue, Does::Pause], may_break: true };
const WHOLE: Choice = Choice {
    does: &[Does::Continue, Does::Continue, Does::Change, Does::Pause, Does::PauseByWatermark, Does::PauseAndResume],
    may_break: false,
};
const ALL: Choice = Choice {
    does: &[
        Does::Continue,
        Does::Change,
        Does::Pause,
        Does::PauseByWatermark,
        Does::PauseAndResume,
        Does::Answer,
        Does::Fail,
        Does::FailOpen,
        Does::Close,
    ],
    may_break: true,
};

#[test]
fn one_plugin_in_every_way() {
    for set in sets(1, 0) {
        for flushes in [false, true] {
            every(set, flushes, 3, &ALL);
            every(set, flushes, 5, &PAUSES);
        }
    }
}

#[test]
fn two_plugins_that_pause_and_resume() {
    for set in sets(2, 0) {
        every(set, set.content_length.is_some(), 4, &PAUSES);
    }
}

#[test]
fn plugins_that_lua_calls() {
    for set in sets(1, 1) {
        every(set, true, 4, &PAUSES);
    }
    for set in sets(2, 2).into_iter().chain(sets(2, 1)) {
        every(set, true, 3, &PAUSES);
    }
}

#[test]
fn long_orders() {
    for seed in 0..50_000 {
        random(seed, 16, &ALL);
        random(seed, 16, &PAUSES);
        random(seed, 30, &WHOLE);
    }
}

fn sets(plugins: usize, by_lua: usize) -> Vec<Set> {
    let set = Set { plugins, by_lua, ..Set::UPSTREAM };
    vec![
        set,
        Set { from_upstream: false, ..set },
        Set { content_length: Some(4), ..set },
        Set { trailers: 1, ..set },
        Set { limit: 3, ..set },
        Set { cannot_wait: true, ..set },
    ]
}
