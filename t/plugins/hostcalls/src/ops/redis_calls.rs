//! Redis calls, which Higress has.

use super::{Op, Ops};
use crate::abi::only_0_2_100 as host;
use crate::args::Args;
use crate::contexts;
use crate::memory::Slot;
use crate::outcome::Outcome;

pub const ONLY_0_2_100: Ops = &[("redis_init", init as Op), ("redis_call", call as Op)];

fn init(args: &Args, _: &super::Frame) -> Outcome {
    let (server, user, password) = (args.data(0), args.data(1), args.data(2));
    let (user, password, timeout) =
        ((user.address(), user.size()), (password.address(), password.size()), args.number_or(3, 0));
    Outcome::status(host::proxy_redis_init(
        server.address(),
        server.size(),
        user.0,
        user.1,
        password.0,
        password.1,
        timeout,
    ))
}

fn call(args: &Args, frame: &super::Frame) -> Outcome {
    let (server, command) = (args.data(0), args.data(1));
    let call = Slot::<u32>::default();
    let status =
        host::proxy_redis_call(server.address(), server.size(), command.address(), command.size(), call.address());
    contexts::set_caller(frame.plugin_id, call.get(), frame.id);
    Outcome::with_number(status, call.get())
}
