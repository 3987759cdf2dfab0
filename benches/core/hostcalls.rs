//! Measures the way from the guest to the host and back, for the host functions that plugins call
//! most. The time is that of one call.

use std::time::Instant;

use benches::{caller, http_context};
use criterion::{Criterion, criterion_group, criterion_main};

/// Each row has the function's name, its parameters, the data at address 0, and the arguments.
const HOSTCALLS: &[(&str, &str, &str, &str)] = &[
    // The message is below the log's level, as most messages are.
    ("proxy_log", "i32 i32 i32", "a message", "(i32.const 0) (i32.const 0) (i32.const 9)"),
    ("proxy_get_current_time_nanoseconds", "i32", "", "(i32.const 1024)"),
    (
        "proxy_get_header_map_value",
        "i32 i32 i32 i32 i32",
        "x-request-id",
        "(i32.const 0) (i32.const 0) (i32.const 12) (i32.const 1024) (i32.const 1028)",
    ),
    ("proxy_get_header_map_pairs", "i32 i32 i32", "", "(i32.const 0) (i32.const 1024) (i32.const 1028)"),
    (
        "proxy_replace_header_map_value",
        "i32 i32 i32 i32 i32",
        "x-plugin yes",
        "(i32.const 2) (i32.const 0) (i32.const 8) (i32.const 9) (i32.const 3)",
    ),
    (
        "proxy_get_buffer_bytes",
        "i32 i32 i32 i32 i32",
        "",
        "(i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 1024) (i32.const 1028)",
    ),
    ("proxy_get_property", "i32 i32 i32 i32", "route", "(i32.const 0) (i32.const 5) (i32.const 1024) (i32.const 1028)"),
    ("proxy_set_property", "i32 i32 i32 i32", "route value", "(i32.const 0) (i32.const 5) (i32.const 6) (i32.const 5)"),
    (
        "proxy_get_shared_data",
        "i32 i32 i32 i32 i32",
        "key",
        "(i32.const 0) (i32.const 3) (i32.const 1024) (i32.const 1028) (i32.const 1032)",
    ),
    ("proxy_increment_metric", "i32 i64", "", "(i32.const 0) (i64.const 1)"),
];

fn hostcalls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hostcall");
    for (name, params, data, arguments) in HOSTCALLS {
        let http = http_context(&caller(name, params, data, arguments));
        group.bench_function(*name, |bench| {
            bench.iter_custom(|times| {
                let times = u32::try_from(times).expect("a time in reach");
                let started = Instant::now();
                http.on_request_headers(times, false).expect("every call answers OK");
                started.elapsed()
            })
        });
    }
}

criterion_group!(benches, hostcalls);
criterion_main!(benches);
