//! Timers.

use super::Ops;
use crate::abi::common as host;
use crate::outcome::Outcome;

pub const OPS: Ops = &[("set_tick_period_milliseconds", |args, _| {
    Outcome::status(host::proxy_set_tick_period_milliseconds(args.u32(0)))
})];
