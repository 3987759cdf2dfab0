//! HTTP.

use super::Ops;
use crate::abi::common as host;
use crate::outcome::Outcome;

pub const OPS: Ops = &[("send_local_response", |args, _| {
    let (body, headers, details, grpc_status) = (args.data(1), args.map(2), args.data(3), args.number_or(4, -1));
    Outcome::status(host::proxy_send_local_response(
        args.u32(0),
        details.address(),
        details.size(),
        body.address(),
        body.size(),
        headers.address(),
        headers.size(),
        grpc_status,
    ))
})];
