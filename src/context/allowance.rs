//! How much plugins may have the host keep for one request.
//!
//! What becomes a field or a variable is copied into the request's pool, which gives nothing back before the request ends. A plugin
//! that sets them in a loop would fill the machine's memory within its deadline.

use std::cell::{Cell, RefCell};

use ngx_bindings::Request;
use ngx_bindings::log::Level;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::Result;

use crate::host_memory::{Held, HostMemory};
use crate::lazy_box::LazyBox;
use crate::limits::request::{ENTRY, SET, UNCOUNTED};

/// What the plugins of a request have used up.
#[derive(Debug, Default)]
pub struct Allowance {
    /// Bytes of names and values.
    set: Cell<usize>,
    /// Bytes that variables took of the pool when they were read.
    read: Cell<usize>,
    held: LazyBox<RefCell<Vec<Held>>>,
}

impl Allowance {
    /// Takes what a name and a value need.
    ///
    /// # Errors
    /// `InternalFailure` when too little is left; the first time with a line in the request's log.
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

    /// Takes what a variable took of the pool, whose value has so many bytes.
    ///
    /// # Errors
    /// `InternalFailure` when too much is kept for the plugin.
    pub fn take_read(&self, memory: HostMemory, value: usize) -> Result {
        let used = self.read.get();
        let needed = used.saturating_add(value + ENTRY);
        self.count(memory, used, needed)?;
        self.read.set(needed);
        Ok(())
    }

    /// Counts bytes that are kept for as long as the request.
    ///
    /// # Errors
    /// `InternalFailure` when too much is kept for the plugin.
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
