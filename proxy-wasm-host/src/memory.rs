//! The guest as a host function sees it: its memory, its allocator and the state beside them.
//!
//! Spec v0.2.1, "Memory management". A value for the guest is measured, allocated once in the guest and written in
//! place; where it goes is checked before anything else is done, so that a bad pointer changes nothing.

use std::mem;

use wasmtime::{AsContextMut, Caller, Extern, Memory, Val};

use super::abi::Status;
use super::host::Host;
use super::state::VmState;
use crate::wasm::memory::{GuestBytes, LinearMemory, OutOfBounds};

/// What the scratch buffer may keep between calls.
const SCRATCH_LIMIT: usize = 64 << 10;

/// Why a host function ends early.
#[derive(Debug)]
pub(crate) enum Error {
    /// What the guest is answered.
    Status(Status),
    /// The guest trapped in its allocator, and so in the call that made us use it.
    Trap(wasmtime::Error),
}

/// What a host function comes to.
pub(crate) type Result<T = ()> = std::result::Result<T, Error>;

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl From<OutOfBounds> for Status {
    fn from(_: OutOfBounds) -> Self {
        Self::InvalidMemoryAccess
    }
}

impl From<OutOfBounds> for Error {
    fn from(error: OutOfBounds) -> Self {
        Self::Status(error.into())
    }
}

/// Where a host function leaves an address and a size: `return_value_data`, `return_value_size`.
#[derive(Clone, Copy)]
pub(crate) struct ReturnBytes {
    pub data: u32,
    pub size: u32,
}

/// The caller of a host function.
pub(crate) struct Guest<'a, H: Host> {
    caller: Caller<'a, VmState<H>>,
    memory: Memory,
}

impl<'a, H: Host> Guest<'a, H> {
    pub fn new(mut caller: Caller<'a, VmState<H>>) -> Result<Self> {
        let memory = match &caller.data().guest {
            Some(exports) => exports.memory,
            // A start section runs before the exports are resolved.
            None => caller.get_export("memory").and_then(Extern::into_memory).ok_or(OutOfBounds)?,
        };
        Ok(Self { caller, memory })
    }

    /// The state, for what needs no memory.
    pub fn state(&mut self) -> &mut VmState<H> {
        self.caller.data_mut()
    }

    /// Memory and state together, until the next call into the guest.
    pub fn split(&mut self) -> (LinearMemory<'_>, &mut VmState<H>) {
        let (bytes, state) = self.memory.data_and_store_mut(&mut self.caller);
        (LinearMemory::new(bytes), state)
    }

    /// Checks where a number will be written.
    pub fn check(&mut self, address: u32, size: u32) -> Result {
        Ok(self.split().0.check(address, size)?)
    }

    /// Checks where an address and a size will be written.
    pub fn check_return(&mut self, out: ReturnBytes) -> Result {
        check_return(&self.split().0, out)
    }

    /// Writes a number where it was checked that it can be.
    pub fn write_u32(&mut self, address: u32, value: u32) -> Result {
        Ok(self.split().0.write_u32(address, value)?)
    }

    /// Writes a number where it was checked that it can be.
    pub fn write_u64(&mut self, address: u32, value: u64) -> Result {
        Ok(self.split().0.write_u64(address, value)?)
    }

    /// Gives the guest `size` bytes, which `fill` writes in place once they are allocated.
    ///
    /// `fill` must look again at what it copies: the allocator is guest code and may have called host functions.
    pub fn give(
        &mut self,
        out: ReturnBytes,
        size: usize,
        fill: impl FnOnce(&mut [u8], &mut VmState<H>) -> std::result::Result<(), Status>,
    ) -> Result {
        let value = self.allocate(size)?;
        let (mut memory, state) = self.split();
        fill(memory.bytes_mut(value)?, state)?;
        memory.write_u32(out.data, value.address)?;
        Ok(memory.write_u32(out.size, value.size)?)
    }

    /// Gives the guest what `find` leaves in the scratch buffer: for values that are borrowed from the host, which must
    /// not be while the guest's allocator runs. Where it goes is checked first.
    pub fn give_copy(
        &mut self,
        out: ReturnBytes,
        find: impl FnOnce(&mut Vec<u8>, LinearMemory<'_>, &mut VmState<H>) -> Result,
    ) -> Result {
        let (memory, state) = self.split();
        check_return(&memory, out)?;
        let mut value = mem::take(&mut state.scratch);
        let given = find(&mut value, memory, state).and_then(|()| {
            self.give(out, value.len(), |into, _| {
                into.copy_from_slice(&value);
                Ok(())
            })
        });
        value.clear();
        value.shrink_to(SCRATCH_LIMIT);
        self.state().scratch = value;
        given
    }

    /// What would follow the running callback in one crossing is left to the host: see [`joined`](super::joined).
    pub fn part(&mut self) -> Result {
        let Some(apart) = self.state().apart else { return Ok(()) };
        apart.set(self.caller.as_context_mut(), Val::I32(1)).map_err(Error::Trap)
    }

    /// Asks the guest for memory. For no bytes it is not asked: both Go SDKs trap on a size of 0, and all SDKs read
    /// address 0 with size 0 as empty.
    pub fn allocate(&mut self, size: usize) -> Result<GuestBytes> {
        if size == 0 {
            return Ok(GuestBytes { address: 0, size: 0 });
        }
        let size = u32::try_from(size).map_err(|_| OutOfBounds)?;
        // Taken out while it runs: an allocator that asks for values, which need the allocator, gets none instead of
        // recursing.
        let allocate = self.state().guest.as_mut().and_then(|exports| exports.allocate.take()).ok_or(OutOfBounds)?;
        let allocated = allocate.call(self.caller.as_context_mut(), size);
        if let Some(exports) = &mut self.state().guest {
            exports.allocate = Some(allocate);
        }
        match allocated.map_err(Error::Trap)? {
            0 => Err(OutOfBounds.into()),
            address => Ok(GuestBytes { address, size }),
        }
    }
}

fn check_return(memory: &LinearMemory<'_>, out: ReturnBytes) -> Result {
    memory.check(out.data, 4)?;
    Ok(memory.check(out.size, 4)?)
}
