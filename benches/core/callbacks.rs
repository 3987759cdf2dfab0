//! Measures the way from the host to the guest and back: one callback, and all callbacks of a
//! request's context.

use std::hint::black_box;

use benches::{guest, http_context, plugin_context, stream};
use criterion::{Criterion, criterion_group, criterion_main};

/// Every callback of a request, each with an empty body.
const EMPTY: &str = r#"
    (func (export "proxy_on_context_create") (param i32 i32))
    (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) (i32.const 0))
    (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
    (func (export "proxy_on_log") (param i32))
    (func (export "proxy_on_delete") (param i32))"#;

fn callback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("callback");
    for (name, functions) in [("empty", EMPTY), ("missing", "")] {
        let http = http_context(&guest(functions));
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(http.on_request_headers(10, false)).expect("an action"))
        });
    }
}

fn http_context_life(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http_context");
    for (name, functions) in [("create_and_end", EMPTY), ("create_and_end_without_callbacks", "")] {
        let plugin = plugin_context(&guest(functions));
        let stream = stream();
        group.bench_function(name, |bench| {
            bench.iter(|| drop(black_box(plugin.create_http_context(stream.clone()).expect("a context"))))
        });
    }
    // Runs as in nginx: with the request's headers, in one crossing.
    let plugin = plugin_context(&guest(EMPTY));
    let stream = stream();
    group.bench_function("receive_request_and_end", |bench| {
        bench.iter(|| black_box(plugin.http_context().receive(stream.clone(), 10, true).expect("a context")))
    });
}

criterion_group!(benches, callback, http_context_life);
criterion_main!(benches);
