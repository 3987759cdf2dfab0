//! Metrics.

use super::Ops;
use crate::abi::common as host;
use crate::memory::Slot;
use crate::names::METRICS;
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    ("define_metric", |args, _| {
        let (kind, name, metric) = (args.enumerator(0, METRICS), args.data(1), Slot::<u32>::default());
        let status = host::proxy_define_metric(kind, name.address(), name.size(), metric.address());
        Outcome::with_number(status, metric.get())
    }),
    ("record_metric", |args, _| Outcome::status(host::proxy_record_metric(args.u32(0), args.number(1) as u64))),
    ("increment_metric", |args, _| Outcome::status(host::proxy_increment_metric(args.u32(0), args.number(1)))),
    ("get_metric", |args, _| {
        let value = Slot::<u64>::default();
        let status = host::proxy_get_metric(args.u32(0), value.address());
        Outcome::with_number(status, value.get())
    }),
];
