//! Servers of requests, and bytes for a response's body, which Higress has.

use super::{Op, Ops};
use crate::abi::only_0_2_100 as host;
use crate::args::Args;
use crate::memory::Returned;
use crate::outcome::Outcome;

pub const ONLY_0_2_100: Ops = &[
    ("get_upstream_hosts", get as Op),
    ("set_upstream_override_host", choose as Op),
    ("inject_encoded_data_to_filter_chain", inject as Op),
];

fn get(_: &Args, _: &super::Frame) -> Outcome {
    let returned = Returned::default();
    let status = host::proxy_get_upstream_hosts(returned.data.address(), returned.size.address());
    Outcome::with_pairs(status, &returned)
}

fn choose(args: &Args, _: &super::Frame) -> Outcome {
    let address = args.data(0);
    Outcome::status(host::proxy_set_upstream_override_host(address.address(), address.size()))
}

fn inject(args: &Args, _: &super::Frame) -> Outcome {
    let (body, end) = (args.data(0), args.number_or(1, 0));
    Outcome::status(host::proxy_inject_encoded_data_to_filter_chain(body.address(), body.size(), end))
}
