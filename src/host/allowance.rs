//! How much plugins may have the host keep for one request.
//!
//! What becomes a field or a variable is copied into the request's pool, which gives nothing back before the request ends. A plugin
//! that sets them in a loop would fill the machine's memory within its deadline.

use std::cell::Cell;

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::Result;

/// Bytes of all names and values that the plugins of a request set: more than any message's header, with room for what is set with
/// each piece of a long body.
const LIMIT: usize = 16 << 20;

/// What a name and a value cost beside their bytes.
const ENTRY: usize = 64;

/// What the plugins of a request have used up.
#[derive(Debug, Default)]
pub struct Allowance(Cell<usize>);

impl Allowance {
    /// Takes what a name and a value need.
    ///
    /// # Errors
    /// `InternalFailure` when too little is left; the first time with a line in the request's log.
    pub fn take(&self, request: Request, name: &[u8], value: &[u8]) -> Result {
        let used = self.0.get();
        let needed = used.saturating_add(name.len() + value.len() + ENTRY);
        if needed <= LIMIT {
            self.0.set(needed);
            return Ok(());
        }
        if used < LIMIT {
            self.0.set(LIMIT);
            let line = format_args!("plugins set more than {LIMIT} bytes of fields and variables in one request");
            request.log().print(Level::Error, line);
        }
        Err(Status::InternalFailure)
    }
}
