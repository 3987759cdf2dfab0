//! What a guest can do by itself, mostly harm.

use std::alloc::{Layout, alloc};
use std::hint::black_box;

use super::Ops;
use crate::memory::{self, Allocator};
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    // Says a text, to see what a placeholder holds.
    ("echo", |args, _| Outcome::done_with(args.data(0).0)),
    ("panic", |args, _| panic!("{}", args.text(0))),
    ("trap", |args, _| trap(if args.len() > 0 { args.text(0) } else { "unreachable" })),
    ("loop", |_, _| {
        loop {
            black_box(());
        }
    }),
    // Takes so many bytes, for good.
    ("alloc", |args, _| take(args.u32(0))),
    // The size of the memory in pages of 64 KiB.
    ("memory_size", |_, _| Outcome::done_with(core::arch::wasm32::memory_size(0).to_string())),
    // Buffers that the host allocated and this guest has not seen yet: 0, unless the host leaks.
    ("leaked", |_, _| Outcome::done_with(memory::given().to_string())),
    // How proxy_on_memory_allocate behaves from now on.
    ("allocator", |args, _| {
        memory::set_allocator(match args.text(0) {
            "ok" => Allocator::Ok,
            "null" => Allocator::Null,
            "wild" => Allocator::Wild,
            "grow" => Allocator::Grow,
            "trap" => Allocator::Trap,
            other => panic!("there is no allocator {other}"),
        });
        Outcome::done()
    }),
];

fn trap(kind: &str) -> Outcome {
    match kind {
        "unreachable" => core::arch::wasm32::unreachable(),
        "memory" => {
            // SAFETY: it is not: past the end of the memory, where WebAssembly traps.
            let byte = unsafe { std::ptr::read_volatile(std::ptr::with_exposed_provenance::<u8>(usize::MAX)) };
            Outcome::done_with(byte.to_string())
        }
        "stack" => Outcome::done_with(recurse(1).to_string()),
        other => panic!("there is no trap {other}"),
    }
}

#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth) + 1)) + 1
}

fn take(size: u32) -> Outcome {
    let Some(layout) = Layout::array::<u8>(size as usize).ok().filter(|layout| layout.size() > 0) else {
        return Outcome::failed();
    };
    // SAFETY: the layout is not empty.
    let bytes = unsafe { alloc(layout) };
    if black_box(bytes).is_null() { Outcome::failed() } else { Outcome::done() }
}
