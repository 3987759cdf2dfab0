//! Logging.

use super::Ops;
use crate::abi::common as host;
use crate::memory::Slot;
use crate::names::LOG_LEVELS;
use crate::outcome::Outcome;

pub const OPS: Ops = &[("log", |args, _| {
    let (level, message) = (args.enumerator(0, LOG_LEVELS), args.data(1));
    Outcome::status(host::proxy_log(level, message.address(), message.size()))
})];

/// Other hosts do not have it in ABI 0.1.0.
pub const LEVEL: Ops = &[("get_log_level", |_, _| {
    let level = Slot::<u32>::default();
    let status = host::proxy_get_log_level(level.address());
    Outcome::with(status, || match LOG_LEVELS.get(level.get() as usize) {
        Some(name) => (*name).into(),
        None => level.get().to_string().into(),
    })
})];
