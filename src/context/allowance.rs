//! Limits the bytes that plugins may have the host keep for one request.
//!
//! A field or variable that a plugin sets is copied into the request's pool, which frees nothing
//! before the request ends. A plugin that sets them in a loop would fill the machine's memory
//! within its deadline.

use std::cell::{Cell, RefCell};

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::Result;

use crate::host_memory::{Held, HostMemory};
use crate::lazy_box::LazyBox;
use crate::limits::request::{ENTRY, SET, UNCOUNTED};

/// The bytes that the plugins of one request have used up.
#[derive(Debug, Default)]
pub struct Allowance {
    /// Bytes of names and values that plugins set.
    set: Cell<usize>,
    /// Bytes of the pool that nginx used to evaluate variables for plugins.
    read: Cell<usize>,
    held: LazyBox<RefCell<Vec<Held>>>,
}

impl Allowance {
    /// Takes the bytes for a name and a value that a plugin sets.
    ///
    /// # Errors
    /// `InternalFailure` if too little is left. The first time, a line in the request's log says
    /// so.
    pub fn take(&self, request: Request, memory: HostMemory, name: &[u8], value: &[u8]) -> Result {
        let used = self.set.get();
        let needed = used.saturating_add(name.len() + value.len() + ENTRY);
        if needed <= SET {
            self.count(memory, used, needed)?;
            self.set.set(needed);
            return Ok(());
        }
        if used < SET {
            self.set.set(SET);
            let line = format_args!("plugins set more than {SET} bytes of fields and variables in one request");
            request.log().print(Level::Error, line);
        }
        Err(Status::InternalFailure)
    }

    /// Takes the bytes of the pool that nginx used to evaluate a variable. `value` is the length of
    /// its value.
    ///
    /// # Errors
    /// `InternalFailure` if the worker keeps too many bytes for the plugin already.
    pub fn take_read(&self, memory: HostMemory, value: usize) -> Result {
        let used = self.read.get();
        let needed = used.saturating_add(value + ENTRY);
        self.count(memory, used, needed)?;
        self.read.set(needed);
        Ok(())
    }

    /// Counts bytes for the plugin until the request ends.
    ///
    /// # Errors
    /// `InternalFailure` if the worker keeps too many bytes for the plugin already.
    pub fn hold(&self, memory: HostMemory, bytes: usize) -> Result {
        let mut held = self.held.make().borrow_mut();
        match held.iter_mut().find(|held| held.is_of(memory)) {
            Some(held) => held.grow(bytes),
            None => memory.take(bytes).map(|new| held.push(new)),
        }
    }

    #[inline]
    fn count(&self, memory: HostMemory, used: usize, needed: usize) -> Result {
        if needed <= UNCOUNTED { Ok(()) } else { self.hold(memory, needed - used.max(UNCOUNTED)) }
    }
}
