//! The guest as a host function sees it: its memory, its allocator and its state.
//!
//! Spec v0.2.1, "Memory management". A value for the guest is measured, allocated once in the guest
//! and written in place. The address that will receive its place is checked first, so that a bad
//! pointer changes nothing.

use std::mem;

use wasmtime::{AsContextMut, Caller, Extern, Memory, Trap, Val};

use super::abi::Status;
use super::host::Host;
use super::state::VmState;
use crate::wasm::interrupt;
use crate::wasm::memory::{GuestBytes, LinearMemory, OutOfBounds};

/// The most that the scratch buffer keeps between calls, in bytes.
const SCRATCH_LIMIT: usize = 64 << 10;

/// Why a host function ends early.
#[derive(Debug)]
pub(crate) enum Error {
    /// The guest gets this status.
    Status(Status),
    /// The guest trapped in its allocator, and so the call that used the allocator traps.
    Trap(wasmtime::Error),
}

/// The result of a host function.
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

/// The two addresses where a host function writes an address and a size: `return_value_data`,
/// `return_value_size`.
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

    /// The state, for a function that does not need the memory.
    pub fn state(&mut self) -> &mut VmState<H> {
        self.caller.data_mut()
    }

    /// Borrows memory and state together, until the next call into the guest.
    pub fn split(&mut self) -> (LinearMemory<'_>, &mut VmState<H>) {
        let (bytes, state) = self.memory.data_and_store_mut(&mut self.caller);
        (LinearMemory::new(bytes), state)
    }

    /// Checks an address that a number will be written to.
    pub fn check(&mut self, address: u32, size: u32) -> Result {
        Ok(self.split().0.check(address, size)?)
    }

    /// Checks the addresses that an address and a size will be written to.
    pub fn check_return(&mut self, out: ReturnBytes) -> Result {
        check_return(&self.split().0, out)
    }

    /// Writes a number to an address that has been checked.
    pub fn write_u32(&mut self, address: u32, value: u32) -> Result {
        Ok(self.split().0.write_u32(address, value)?)
    }

    /// Writes a number to an address that has been checked.
    pub fn write_u64(&mut self, address: u32, value: u64) -> Result {
        Ok(self.split().0.write_u64(address, value)?)
    }

    /// Gives the guest `size` bytes, which `fill` writes in place once they are allocated.
    ///
    /// `fill` must check again what it copies: the allocator is guest code, and may have called
    /// host functions.
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

    /// Gives the guest the bytes that `find` leaves in the scratch buffer. This is for values
    /// borrowed from the host, which must not stay borrowed while the guest's allocator runs. The
    /// addresses for the result are checked first.
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

    /// Ends the crossing after the running callback: the host itself calls the callbacks that would
    /// follow. See [`joined`](super::joined).
    pub fn part(&mut self) -> Result {
        let Some(apart) = self.state().apart else { return Ok(()) };
        apart.set(self.caller.as_context_mut(), Val::I32(1)).map_err(Error::Trap)
    }

    /// Asks the guest for memory. For zero bytes the guest is not asked: both Go SDKs trap on a
    /// size of 0, and all SDKs read address 0 with size 0 as empty.
    pub fn allocate(&mut self, size: usize) -> Result<GuestBytes> {
        if size == 0 {
            return Ok(GuestBytes { address: 0, size: 0 });
        }
        let size = u32::try_from(size).map_err(|_| OutOfBounds)?;
        // The barrier that would stop the caller when this function returns stops at the allocator,
        // which it does not interrupt when it begins.
        if interrupt::is_due() {
            return Err(Error::Trap(Trap::Interrupt.into()));
        }
        // The allocator is taken out while it runs. So an allocator that calls a host function
        // which needs the allocator gets an error instead of recursing.
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
