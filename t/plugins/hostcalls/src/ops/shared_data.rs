//! Shared key-value store.

use super::Ops;
use crate::abi::common as host;
use crate::contexts;
use crate::memory::{Returned, Slot};
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    // The value; its compare-and-swap number is ${cas} from then on.
    ("get_shared_data", |args, frame| {
        let (key, returned, cas) = (args.data(0), Returned::default(), Slot::<u32>::default());
        let (data, size) = (returned.data.address(), returned.size.address());
        let status = host::proxy_get_shared_data(key.address(), key.size(), data, size, cas.address());
        contexts::set_variable(frame.plugin_id, "cas", cas.get().to_string().into());
        Outcome::with_bytes(status, &returned)
    }),
    ("set_shared_data", |args, _| {
        let (key, value, cas) = (args.data(0), args.data(1), args.number_or(2, 0));
        Outcome::status(host::proxy_set_shared_data(key.address(), key.size(), value.address(), value.size(), cas))
    }),
];
