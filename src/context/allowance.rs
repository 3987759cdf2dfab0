//! Limits the bytes that plugins may have the host keep for one request.
//!
//! A field or variable that a plugin sets is copied into the request's pool, which frees nothing
//! before the request ends. A plugin that sets them in a loop would fill the machine's memory
//! within its deadline.

use std::cell::Cell;

use ngx_bindings::log::Level;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::Result;

use super::RequestContext;
use crate::host_memory::HostMemory;
use crate::limits::request::{ENTRY, SET, UNCOUNTED};

/// The bytes that the plugins of one request have used up.
#[derive(Debug, Default)]
pub struct Allowance {
    /// Bytes of names and values that plugins set.
    set: Cell<usize>,
    /// Bytes of the pool that nginx used to evaluate variables for plugins.
    read: Cell<usize>,
}

impl RequestContext {
    /// Takes the bytes for a name and a value that a plugin sets.
    ///
    /// # Errors
    /// `InternalFailure` if too little is left. The first time, a line in the request's log says
    /// so.
    #[inline]
    pub fn allow(&self, memory: HostMemory, name: &[u8], value: &[u8]) -> Result {
        let set = &self.allowance.set;
        let used = set.get();
        let needed = used.saturating_add(name.len() + value.len() + ENTRY);
        if needed <= SET {
            self.count_bytes(memory, used, needed)?;
            set.set(needed);
            return Ok(());
        }
        if used < SET {
            set.set(SET);
            let line = format_args!("plugins set more than {SET} bytes of fields and variables in one request");
            self.request().log().print(Level::Error, line);
        }
        Err(Status::InternalFailure)
    }

    /// Takes the bytes of the pool that nginx used to evaluate a variable. `value` is the length of
    /// its value.
    ///
    /// # Errors
    /// `InternalFailure` if the worker keeps too many bytes for the plugin already.
    pub fn allow_read(&self, memory: HostMemory, value: usize) -> Result {
        let read = &self.allowance.read;
        let used = read.get();
        let needed = used.saturating_add(value + ENTRY);
        self.count_bytes(memory, used, needed)?;
        read.set(needed);
        Ok(())
    }

    /// Counts bytes for the plugin until the request ends.
    ///
    /// # Errors
    /// `InternalFailure` if the worker keeps too many bytes for the plugin already.
    pub fn hold_bytes(&self, memory: HostMemory, bytes: usize) -> Result {
        let mut held = self.rare.make().held.borrow_mut();
        match held.iter_mut().find(|held| held.is_of(memory)) {
            Some(held) => held.grow(bytes),
            None => memory.take(bytes).map(|new| held.push(new)),
        }
    }

    #[inline]
    fn count_bytes(&self, memory: HostMemory, used: usize, needed: usize) -> Result {
        if needed <= UNCOUNTED { Ok(()) } else { self.hold_bytes(memory, needed - used.max(UNCOUNTED)) }
    }
}
