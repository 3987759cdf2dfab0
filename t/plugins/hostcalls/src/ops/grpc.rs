//! gRPC calls.

use super::Ops;
use crate::abi::common as host;
use crate::contexts;
use crate::memory::Slot;
use crate::outcome::Outcome;

const TIMEOUT: i64 = 5000;

pub const OPS: Ops = &[
    ("grpc_call", |args, frame| {
        let (upstream, service, method) = (args.data(0), args.data(1), args.data(2));
        let (metadata, message, call) = (args.map(3), args.data(4), Slot::<u32>::default());
        let status = host::proxy_grpc_call(
            upstream.address(),
            upstream.size(),
            service.address(),
            service.size(),
            method.address(),
            method.size(),
            metadata.address(),
            metadata.size(),
            message.address(),
            message.size(),
            args.number_or(5, TIMEOUT),
            call.address(),
        );
        contexts::set_caller(frame.plugin_id, call.get(), frame.id);
        Outcome::with_number(status, call.get())
    }),
    ("grpc_stream", |args, frame| {
        let (upstream, service, method) = (args.data(0), args.data(1), args.data(2));
        let (metadata, stream) = (args.map(3), Slot::<u32>::default());
        let status = host::proxy_grpc_stream(
            upstream.address(),
            upstream.size(),
            service.address(),
            service.size(),
            method.address(),
            method.size(),
            metadata.address(),
            metadata.size(),
            stream.address(),
        );
        contexts::set_caller(frame.plugin_id, stream.get(), frame.id);
        Outcome::with_number(status, stream.get())
    }),
    ("grpc_send", |args, _| {
        let (message, end) = (args.data(1), args.number_or(2, 0));
        Outcome::status(host::proxy_grpc_send(args.u32(0), message.address(), message.size(), end))
    }),
    ("grpc_cancel", |args, _| Outcome::status(host::proxy_grpc_cancel(args.u32(0)))),
    ("grpc_close", |args, _| Outcome::status(host::proxy_grpc_close(args.u32(0)))),
];
