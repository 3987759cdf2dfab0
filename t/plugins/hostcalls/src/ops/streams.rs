//! Common stream operations.

use super::Ops;
use crate::abi::{self, since_0_2_0 as host};
use crate::names::STREAMS;
use crate::outcome::Outcome;

pub const SINCE_0_2_0: Ops = &[
    ("continue_stream", |args, _| Outcome::status(host::proxy_continue_stream(args.enumerator(0, STREAMS)))),
    ("close_stream", |args, _| Outcome::status(host::proxy_close_stream(args.enumerator(0, STREAMS)))),
];

pub const ONLY_0_1_0: Ops = &[
    ("continue_request", |_, _| {
        abi::proxy_continue_request();
        Outcome::done()
    }),
    ("continue_response", |_, _| {
        abi::proxy_continue_response();
        Outcome::done()
    }),
    ("clear_route_cache", |_, _| {
        abi::proxy_clear_route_cache();
        Outcome::done()
    }),
];
