//! Buffers.

use super::Ops;
use crate::abi::common as host;
use crate::memory::{Returned, Slot};
use crate::names::BUFFERS;
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    // All of it, unless start and size are given.
    ("get_buffer_bytes", |args, _| {
        let (buffer, start, max_size) = (args.enumerator(0, BUFFERS), args.number_or(1, 0), args.number_or(2, -1));
        let returned = Returned::default();
        let (data, size) = (returned.data.address(), returned.size.address());
        let status = host::proxy_get_buffer_bytes(buffer, start, max_size, data, size);
        Outcome::with_bytes(status, &returned)
    }),
    ("get_buffer_status", |args, _| {
        let (size, ignored) = (Slot::<u32>::default(), Slot::<u32>::default());
        let status = host::proxy_get_buffer_status(args.enumerator(0, BUFFERS), size.address(), ignored.address());
        Outcome::with_number(status, size.get())
    }),
    // In place of all of it, unless start and size are given.
    ("set_buffer_bytes", |args, _| {
        let (buffer, value) = (args.enumerator(0, BUFFERS), args.data(1));
        let (start, size) = (args.number_or(2, 0), args.number_or(3, -1));
        Outcome::status(host::proxy_set_buffer_bytes(buffer, start, size, value.address(), value.size()))
    }),
];
