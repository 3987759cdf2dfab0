//! The status of a call that was answered.

use super::Ops;
use crate::abi::common as host;
use crate::memory::{Returned, Slot};
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    // The code, a space and the message.
    ("get_status", |_, _| {
        let (code, message) = (Slot::<u32>::default(), Returned::default());
        let status = host::proxy_get_status(code.address(), message.data.address(), message.size.address());
        Outcome::with(status, || [format!("{} ", code.get()).into(), message.take()].concat())
    }),
];
