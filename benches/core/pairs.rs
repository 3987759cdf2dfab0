//! Measures the wire format of header maps: reading and writing a map of ten fields.

use std::hint::black_box;

use benches::header_map;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proxy_wasm_host::pairs::{Encoder, Measure, Pairs, PairsBuf};

fn measure(map: &PairsBuf) -> Measure {
    let mut measure = Measure::default();
    map.iter().for_each(|(name, value)| measure.add(name, value));
    measure
}

fn encode(map: &PairsBuf, out: &mut [u8], measure: Measure) {
    let mut encoder = Encoder::new(out, measure).expect("room for it");
    map.iter().for_each(|(name, value)| encoder.push(name, value));
    encoder.finish().expect("what was measured");
}

fn pairs(criterion: &mut Criterion) {
    let map = header_map();
    let size = measure(&map).size();
    let mut bytes = vec![0; size];
    encode(&map, &mut bytes, measure(&map));

    let mut group = criterion.benchmark_group("pairs");
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function("parse", |bench| bench.iter(|| Pairs::parse(black_box(&bytes)).expect("a map").len()));
    group.bench_function("find_last", |bench| {
        let pairs = Pairs::parse(&bytes).expect("a map");
        bench.iter(|| pairs.get(black_box(b"x-request-id")).expect("a field").len())
    });
    group.bench_function("measure", |bench| bench.iter(|| measure(black_box(&map)).size()));
    group.bench_function("encode", |bench| {
        let measure = measure(&map);
        let mut out = vec![0; size];
        bench.iter(|| encode(black_box(&map), &mut out, measure))
    });
}

criterion_group!(benches, pairs);
criterion_main!(benches);
