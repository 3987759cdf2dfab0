//! Foreign function interface.

use super::Ops;
use crate::abi::common as host;
use crate::memory::Returned;
use crate::outcome::Outcome;

pub const OPS: Ops = &[("call_foreign_function", |args, _| {
    let (name, arguments, returned) = (args.data(0), args.data(1), Returned::default());
    let status = host::proxy_call_foreign_function(
        name.address(),
        name.size(),
        arguments.address(),
        arguments.size(),
        returned.data.address(),
        returned.size.address(),
    );
    Outcome::with_bytes(status, &returned)
})];
