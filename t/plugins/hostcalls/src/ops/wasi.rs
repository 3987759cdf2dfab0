//! The WASI functions that the spec and the languages' runtimes rely on. `raw` reaches the others.

use super::Ops;
use crate::abi::{self, wasi as host};
use crate::args::{Args, Data};
use crate::memory::{Slot, address};
use crate::names::CLOCKS;
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    ("stdout", |args, _| write(1, args)),
    ("stderr", |args, _| write(2, args)),
    // KEY=VALUE, with a NUL after each.
    ("environ", |_, _| list(host::environ_sizes_get, host::environ_get)),
    ("args", |_, _| list(host::args_sizes_get, host::args_get)),
    // The value of one environment variable, or FAILED.
    ("getenv", |args, _| match std::env::var(args.text(0)) {
        Ok(value) => Outcome::done_with(value),
        Err(_) => Outcome::failed(),
    }),
    ("clock_time_get", |args, _| {
        let time = Slot::<u64>::default();
        let errno = host::clock_time_get(args.enumerator(0, CLOCKS), 1, time.address());
        Outcome::errno_with(errno, || time.get().to_string().into())
    }),
    // So many random bytes, in hexadecimal.
    ("random_get", |args, _| {
        let random = Data(vec![0; args.u32(0) as usize]);
        let errno = host::random_get(random.address(), random.size());
        Outcome::errno_with(errno, || random.0.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }),
    ("sched_yield", |_, _| Outcome::errno(host::sched_yield())),
    ("sleep", |args, _| sleep(args.number(0) as u64)),
    ("exit", |args, _| abi::proc_exit(args.u32(0))),
];

type HostFunction = extern "C" fn(u32, u32) -> u32;

fn write(fd: u32, args: &Args) -> Outcome {
    let (text, written) = (args.data(0), Slot::<u32>::default());
    let iovs = [text.address(), text.size()];
    let errno = host::fd_write(fd, address(iovs.as_ptr()), 1, written.address());
    Outcome::errno_with(errno, || written.get().to_string().into())
}

fn list(sizes: HostFunction, get: HostFunction) -> Outcome {
    let (count, size) = (Slot::<u32>::default(), Slot::<u32>::default());
    let errno = sizes(count.address(), size.address());
    if errno != 0 {
        return Outcome::errno(errno);
    }
    let pointers = vec![0_u32; count.get() as usize];
    let buffer = Data(vec![0; size.get() as usize]);
    Outcome::errno_with(get(address(pointers.as_ptr()), buffer.address()), || buffer.0)
}

/// Waits by poll_oneoff, as the languages' runtimes do. The value is the number of events.
fn sleep(milliseconds: u64) -> Outcome {
    /// `__wasi_subscription_t` of a clock.
    #[repr(C)]
    struct Subscription {
        userdata: u64,
        kind: u64,
        clock: u64,
        timeout: u64,
        precision: u64,
        flags: u64,
    }
    const CLOCK: u64 = 0;
    const MONOTONIC: u64 = 1;

    let subscription = Subscription {
        userdata: 0,
        kind: CLOCK,
        clock: MONOTONIC,
        timeout: milliseconds * 1_000_000,
        precision: 1,
        flags: 0,
    };
    let (event, happened) = ([0_u64; 4], Slot::<u32>::default());
    let errno = host::poll_oneoff(address(&subscription), address(event.as_ptr()), 1, happened.address());
    Outcome::errno_with(errno, || happened.get().to_string().into())
}
