//! Context lifecycle.

use super::Ops;
use crate::abi::common as host;
use crate::outcome::Outcome;

pub const OPS: Ops = &[
    ("done", |_, _| Outcome::status(host::proxy_done())),
    ("set_effective_context", |args, _| Outcome::status(host::proxy_set_effective_context(args.u32(0)))),
];
