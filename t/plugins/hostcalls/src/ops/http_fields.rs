//! HTTP fields.

use super::Ops;
use crate::abi::common as host;
use crate::memory::{Returned, Slot};
use crate::names::MAPS;
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    ("get_header_map_size", |args, _| {
        let size = Slot::<u32>::default();
        let status = host::proxy_get_header_map_size(args.enumerator(0, MAPS), size.address());
        Outcome::with_number(status, size.get())
    }),
    ("get_header_map_pairs", |args, _| {
        let returned = Returned::default();
        let (data, size) = (returned.data.address(), returned.size.address());
        let status = host::proxy_get_header_map_pairs(args.enumerator(0, MAPS), data, size);
        Outcome::with_pairs(status, &returned)
    }),
    ("set_header_map_pairs", |args, _| {
        let pairs = args.map(1);
        Outcome::status(host::proxy_set_header_map_pairs(args.enumerator(0, MAPS), pairs.address(), pairs.size()))
    }),
    ("get_header_map_value", |args, _| {
        let (map, name, returned) = (args.enumerator(0, MAPS), args.data(1), Returned::default());
        let (data, size) = (returned.data.address(), returned.size.address());
        let status = host::proxy_get_header_map_value(map, name.address(), name.size(), data, size);
        Outcome::with_bytes(status, &returned)
    }),
    ("add_header_map_value", |args, _| {
        let (map, name, value) = (args.enumerator(0, MAPS), args.data(1), args.data(2));
        let (data, size) = (value.address(), value.size());
        Outcome::status(host::proxy_add_header_map_value(map, name.address(), name.size(), data, size))
    }),
    ("replace_header_map_value", |args, _| {
        let (map, name, value) = (args.enumerator(0, MAPS), args.data(1), args.data(2));
        let (data, size) = (value.address(), value.size());
        Outcome::status(host::proxy_replace_header_map_value(map, name.address(), name.size(), data, size))
    }),
    ("remove_header_map_value", |args, _| {
        let (map, name) = (args.enumerator(0, MAPS), args.data(1));
        Outcome::status(host::proxy_remove_header_map_value(map, name.address(), name.size()))
    }),
];
