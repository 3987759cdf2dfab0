//! Shared queues.

use super::Ops;
use crate::abi::common as host;
use crate::memory::{Returned, Slot};
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    ("register_shared_queue", |args, _| {
        let (name, queue) = (args.data(0), Slot::<u32>::default());
        let status = host::proxy_register_shared_queue(name.address(), name.size(), queue.address());
        Outcome::with_number(status, queue.get())
    }),
    ("resolve_shared_queue", |args, _| {
        let (vm, name, queue) = (args.data(0), args.data(1), Slot::<u32>::default());
        let (vm_data, vm_size) = (vm.address(), vm.size());
        let status = host::proxy_resolve_shared_queue(vm_data, vm_size, name.address(), name.size(), queue.address());
        Outcome::with_number(status, queue.get())
    }),
    ("enqueue_shared_queue", |args, _| {
        let item = args.data(1);
        Outcome::status(host::proxy_enqueue_shared_queue(args.u32(0), item.address(), item.size()))
    }),
    ("dequeue_shared_queue", |args, _| {
        let returned = Returned::default();
        let (data, size) = (returned.data.address(), returned.size.address());
        Outcome::with_bytes(host::proxy_dequeue_shared_queue(args.u32(0), data, size), &returned)
    }),
];
