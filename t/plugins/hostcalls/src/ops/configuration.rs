//! Configuration: since ABI 0.2.0 it is in buffers.

use super::Ops;
use crate::abi::only_0_1_0 as host;
use crate::memory::Returned;
use crate::outcome::Outcome;

pub const ONLY_0_1_0: Ops = &[("get_configuration", |_, _| {
    let returned = Returned::default();
    let status = host::proxy_get_configuration(returned.data.address(), returned.size.address());
    Outcome::with_bytes(status, &returned)
})];
