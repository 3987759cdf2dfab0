//! Clocks. WASI's is among `wasi`.

use super::Ops;
use crate::abi::common as host;
use crate::memory::Slot;
use crate::outcome::Outcome;

pub const OPS: Ops = &[("get_current_time_nanoseconds", |_, _| {
    let time = Slot::<u64>::default();
    let status = host::proxy_get_current_time_nanoseconds(time.address());
    Outcome::with_number(status, time.get())
})];
