//! HTTP calls.

use super::Ops;
use crate::abi::common as host;
use crate::contexts;
use crate::memory::Slot;
use crate::outcome::Outcome;

const TIMEOUT: i64 = 5000;

pub const OPS: Ops = &[("http_call", |args, frame| {
    let (upstream, headers, body, trailers) = (args.data(0), args.map(1), args.data(2), args.map(3));
    let call = Slot::<u32>::default();
    let status = host::proxy_http_call(
        upstream.address(),
        upstream.size(),
        headers.address(),
        headers.size(),
        body.address(),
        body.size(),
        trailers.address(),
        trailers.size(),
        args.number_or(4, TIMEOUT),
        call.address(),
    );
    contexts::set_caller(frame.plugin_id, call.get(), frame.id);
    Outcome::with_number(status, call.get())
})];
