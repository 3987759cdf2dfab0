//! The steps. A file for each chapter of the spec has its table, `OPS`, and one function for each of its host functions.

use std::cell::Cell;

use crate::args::Args;
use crate::outcome::Outcome;
use crate::run::Frame;

mod buffers;
mod clocks;
mod configuration;
mod contexts;
mod foreign;
mod grpc;
mod guest;
mod http;
mod http_calls;
mod http_fields;
mod logging;
mod metrics;
mod properties;
mod raw;
mod redis_calls;
mod shared_data;
mod shared_queues;
mod status;
mod streams;
mod timers;
mod upstreams;
mod wasi;

pub type Op = fn(&Args, &Frame) -> Outcome;
pub type Ops = &'static [(&'static str, Op)];
pub type Chapter = &'static [Ops];

/// In every ABI version.
pub const COMMON: Chapter = &[
    contexts::OPS,
    logging::OPS,
    clocks::OPS,
    timers::OPS,
    buffers::OPS,
    http_fields::OPS,
    status::OPS,
    http::OPS,
    http_calls::OPS,
    grpc::OPS,
    shared_data::OPS,
    shared_queues::OPS,
    metrics::OPS,
    properties::OPS,
    foreign::OPS,
    wasi::OPS,
    guest::OPS,
];

pub const SINCE_0_2_0: Chapter = &[logging::LEVEL, streams::SINCE_0_2_0];

pub const ONLY_0_2_100: Chapter = &[redis_calls::ONLY_0_2_100, upstreams::ONLY_0_2_100];

pub const ONLY_0_1_0: Chapter = &[configuration::ONLY_0_1_0, logging::LEVEL, streams::ONLY_0_1_0];

/// Every function of WASI, too: other hosts do not have them all.
pub const RAW_SINCE_0_2_0: Chapter = &[raw::SINCE_0_2_0];

pub const RAW_ONLY_0_2_100: Chapter = &[raw::ONLY_0_2_100];

pub const RAW_ONLY_0_1_0: Chapter = &[raw::ONLY_0_1_0];

thread_local! {
    static CHAPTERS: Cell<&'static [Chapter]> = const { Cell::new(&[]) };
}

pub fn start(chapters: &'static [Chapter]) {
    CHAPTERS.set(chapters);
}

pub fn find(name: &str) -> Option<Op> {
    let mut ops = CHAPTERS.get().iter().flat_map(|chapter| chapter.iter()).flat_map(|ops| ops.iter());
    ops.find(|(op, _)| *op == name).map(|(_, op)| *op)
}
