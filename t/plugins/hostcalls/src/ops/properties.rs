//! Properties.

use super::Ops;
use crate::abi::common as host;
use crate::args::{Args, Data};
use crate::memory::Returned;
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    ("get_property", |args, _| {
        let (path, returned) = (path(args, args.len()), Returned::default());
        let (data, size) = (returned.data.address(), returned.size.address());
        let status = host::proxy_get_property(path.address(), path.size(), data, size);
        Outcome::with_bytes(status, &returned)
    }),
    // The last argument is the value.
    ("set_property", |args, _| {
        let segments = args.len() - 1;
        let (path, value) = (path(args, segments), args.data(segments));
        Outcome::status(host::proxy_set_property(path.address(), path.size(), value.address(), value.size()))
    }),
];

/// The first `segments` arguments, with a NUL between each two.
fn path(args: &Args, segments: usize) -> Data {
    let segments: Vec<_> = (0..segments).map(|i| args.data(i).0).collect();
    Data(segments.join(&0))
}
