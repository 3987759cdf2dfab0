//! Guests that a signal interrupts at any instruction.
//!
//! The test is a process of its own, with one thread that runs guests: there is one clock for
//! signals in a process. `INTERRUPTIONS=100000` interrupts as often each kind of guest.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
#[path = "interrupt/steps.rs"]
mod steps;

use std::env;
use std::ffi::{c_int, c_void};
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::libc::siginfo_t;
use nix::sys::signal::{SaFlags, SigAction, SigEvent, SigHandler, SigSet, SigevNotify, Signal, sigaction};
use nix::sys::timer::{Expiration, Timer, TimerSetTimeFlags};
use nix::time::ClockId;
use nix::unistd;
use proxy_wasm_host::wasm::interrupt::{self, Deadline};
use proxy_wasm_host::wasm::ticker::{Clock, TickSource};
use proxy_wasm_host::wasm::{Deadlines, Engine, EngineConfig, Module};
use wasmtime::{Linker, Store, Trap, WasmBacktrace};

/// What guests do when they are interrupted: nothing, calls that return or do not, memory accesses,
/// calls of the host, work that wasmtime does for them.
const GUESTS: &str = r#"(module
    (import "host" "short" (func $short (param i32)))
    (import "host" "long" (func $long))
    (import "host" "other" (func $other))
    (memory (export "memory") 4)
    (table 1 funcref)
    (elem (i32.const 0) $leaf)
    (type $of_leaf (func (param i32) (result i32)))
    (func $fib (param i32) (result i32)
        (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
            (then (local.get 0))
            (else (i32.add
                (call $fib (i32.sub (local.get 0) (i32.const 1)))
                (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
    (func $leaf (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
    (func $deep (param i32 i64 f64 i64 i64 i64 i64 i64 i64 f64) (result i64)
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (i64.add (local.get 3) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 8) (local.get 9)
            (local.get 1) (local.get 3) (local.get 4) (local.get 5) (local.get 6) (local.get 7) (local.get 2))))
    (func $tail (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (return_call $longer (local.get 1) (local.get 0) (local.get 3) (local.get 2) (local.get 5) (local.get 4)
            (local.get 7) (local.get 6) (i32.const 1) (i32.const 2) (i32.const 3)))
    (func $longer (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
        (return_call $tail (local.get 10) (local.get 9) (local.get 8) (local.get 7) (local.get 6) (local.get 5)
            (local.get 4) (local.get 3)))
    (func $few (return_call $many (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
        (i64.const 7) (i64.const 8)))
    (func $many (param i64 i64 i64 i64 i64 i64 i64 i64) (return_call $between))
    (func $between
        (drop (call $deep (i32.const 2) (i64.const 1) (f64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
            (i64.const 6) (i64.const 7) (i64.const 8) (f64.const 9)))
        (return_call $few))
    (func (export "growing_arguments") (call $few))
    (func (export "loop") (loop $l (br $l)))
    (func (export "recursion") (loop $l (drop (call $fib (i32.const 25))) (br $l)))
    (func (export "arguments") (loop $l
        (drop (call $deep (i32.const 200) (i64.const 1) (f64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
            (i64.const 6) (i64.const 7) (i64.const 8) (f64.const 9)))
        (br $l)))
    (func (export "leaves") (local i32) (loop $l (local.set 0 (call $leaf (local.get 0))) (br $l)))
    (func (export "indirect") (local i32) (loop $l
        (local.set 0 (call_indirect (type $of_leaf) (local.get 0) (i32.const 0)))
        (br $l)))
    (func (export "tail_calls")
        (drop (call $tail (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6)
            (i32.const 7) (i32.const 8))))
    (func (export "memory_accesses") (local $i i32) (loop $l
        (i32.store (i32.and (local.get $i) (i32.const 0x3fffc)) (local.get $i))
        (local.set $i (i32.add (local.get $i) (i32.const 4)))
        (br $l)))
    (func (export "host_calls") (loop $l (call $short (i32.const 1)) (br $l)))
    (func (export "bulk_memory") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 200000)) (br $l)))
    (func (export "growing") (loop $l (drop (memory.grow (i32.const 0))) (br $l)))
    (func (export "one_long_call") (call $long) (call $wrong))
    (func $wrong unreachable)
    (func (export "other_guest") (call $other))
    (func (export "returns")))"#;

const ENDLESS: [&str; 11] = [
    "loop",
    "recursion",
    "arguments",
    "leaves",
    "indirect",
    "tail_calls",
    "growing_arguments",
    "memory_accesses",
    "host_calls",
    "bulk_memory",
    "growing",
];

const SIGNAL: Signal = Signal::SIGURG;

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// How many signals have come. Each advances the clock by a tick.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

struct Started;

impl TickSource for Started {
    fn shorten_period(&self) {}
}

fn start(clock: Clock) -> io::Result<Box<dyn TickSource>> {
    CLOCK.get_or_init(|| clock);
    let handler = SigHandler::SigAction(on_signal);
    let action = SigAction::new(handler, SaFlags::SA_SIGINFO | SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler does what the clock and `interrupt` allow in one.
    unsafe { sigaction(SIGNAL, &action)? };
    Ok(Box::new(Started))
}

extern "C" fn on_signal(_: c_int, _: *mut siginfo_t, context: *mut c_void) {
    if let Some(clock) = CLOCK.get() {
        clock.advance(1);
    }
    SIGNALS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: guests run on the thread that the timer's signals go to.
    unsafe { interrupt::interrupt(context.cast()) };
}

/// A timer whose signals come to this thread.
struct Signals(Timer);

impl Signals {
    fn new() -> Self {
        let event = SigEvent::new(SigevNotify::SigevThreadId {
            signal: SIGNAL,
            thread_id: unistd::gettid().as_raw(),
            si_value: 0,
        });
        Self(Timer::new(ClockId::CLOCK_MONOTONIC, event).unwrap())
    }

    /// The first signal comes after `first`, the others at short intervals.
    fn from(&mut self, first: Duration) {
        let again = Duration::from_micros(200);
        self.0.set(Expiration::IntervalDelayed(first.into(), again.into()), TimerSetTimeFlags::empty()).unwrap();
    }

    fn none(&mut self) {
        self.0.set(Expiration::OneShot(Duration::ZERO.into()), TimerSetTimeFlags::empty()).unwrap();
    }
}

struct Guests {
    engine: Engine,
    module: Module,
    linker: Linker<()>,
}

impl Guests {
    fn new() -> Self {
        let engine = Engine::new(&EngineConfig { deadlines: Deadlines::Signal }).unwrap();
        engine.start_ticker_by(start).unwrap();
        // The shortest timeout makes a period one tick.
        engine.ticks(Some(Duration::from_millis(1)));
        let module = Module::load(&engine, None, GUESTS.as_bytes()).unwrap();
        let mut linker = Linker::new(engine.wasmtime());
        linker.func_wrap("host", "short", |_: i32| ()).unwrap();
        linker.func_wrap("host", "long", long).unwrap();
        linker.func_wrap("host", "other", || ()).unwrap();
        Self { engine, module, linker }
    }

    /// Calls a guest with a deadline of so many ticks.
    fn call(&self, name: &str, ticks: u64) -> wasmtime::Result<()> {
        let mut store = Store::new(self.engine.wasmtime(), ());
        let instance = self.linker.instantiate(&mut store, self.module.wasmtime()).unwrap();
        let function = instance.get_typed_func::<(), ()>(&mut store, name).unwrap();
        interrupt::within(ticks, || function.call(&mut store, ()))
    }

    fn is_interrupted(&self, name: &str, ticks: u64) -> wasmtime::Error {
        let error = self.call(name, ticks).unwrap_err();
        assert_eq!(error.downcast_ref(), Some(&Trap::UnreachableCodeReached), "{name}: {error:?}");
        assert!(interrupt::was_interrupted(), "{name}");
        assert!(!interrupt::was_interrupted(), "{name}");
        error
    }
}

/// A host function that takes longer than the guest may.
fn long() {
    let enough = SIGNALS.load(Ordering::Relaxed) + 200;
    while SIGNALS.load(Ordering::Relaxed) < enough {
        std::hint::spin_loop();
    }
}

fn functions(error: &wasmtime::Error) -> Vec<&str> {
    let frames = error.downcast_ref::<WasmBacktrace>().map_or(&[][..], WasmBacktrace::frames);
    frames.iter().filter_map(|frame| frame.func_name()).collect()
}

/// Numbers that look random, the same in each run.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

fn main() {
    let (mut guests, mut signals) = (Guests::new(), Signals::new());
    at_random_instants(&guests, &mut signals);
    #[cfg(target_arch = "x86_64")]
    steps::at_any_instruction(&guests, &mut signals);
    not_before_its_time(&guests, &mut signals);
    within_another_guest(&mut guests, &mut signals);
    println!("test result: ok. 4 passed; 0 failed");
}

fn rounds() -> u32 {
    env::var("INTERRUPTIONS").ok().and_then(|number| number.parse().ok()).unwrap_or(300)
}

fn at_random_instants(guests: &Guests, signals: &mut Signals) {
    let mut state = 88_172_645_463_325_252;
    for _ in 0..rounds() {
        for name in ENDLESS {
            signals.from(Duration::from_nanos(20_000 + random(&mut state) % 100_000));
            let ticks = 1 + random(&mut state) % 3;
            let before = SIGNALS.load(Ordering::Relaxed);
            let error = guests.is_interrupted(name, ticks);
            signals.none();
            let late = SIGNALS.load(Ordering::Relaxed) - before - ticks;
            assert!(late < 200, "{name}: {late} signals came after its deadline");
            let known = ["fib", "deep", "leaf", "tail", "longer", "mem", "few", "many", "between"];
            let functions = functions(&error);
            assert!(functions.iter().all(|function| known.contains(function)), "{name}: {functions:?}");
        }
    }
}

fn not_before_its_time(guests: &Guests, signals: &mut Signals) {
    signals.from(Duration::from_micros(50));
    for _ in 0..1000 {
        guests.call("returns", 1_000_000).unwrap();
        guests.call("returns", 0).ok();
        interrupt::was_interrupted();
    }
    let before = SIGNALS.load(Ordering::Relaxed);
    guests.is_interrupted("loop", 400);
    assert!(SIGNALS.load(Ordering::Relaxed) >= before + 400);
    // A host function is not interrupted, but the guest is when it returns.
    guests.is_interrupted("one_long_call", 100);
    signals.none();
}

fn within_another_guest(guests: &mut Guests, signals: &mut Signals) {
    let inner = Guests::new();
    guests.linker.allow_shadowing(true);
    guests
        .linker
        .func_wrap("host", "other", move || {
            let outer = Deadline::NONE.begin();
            assert_ne!(outer, Deadline::NONE);
            outer.begin();
            inner.is_interrupted("recursion", 5);
        })
        .unwrap();
    signals.from(Duration::from_micros(50));
    guests.call("other_guest", 1_000_000).unwrap();
    signals.none();
}
