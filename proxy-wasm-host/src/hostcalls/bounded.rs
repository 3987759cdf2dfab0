//! Names and maps that a guest passes, not longer than [`limits`] allows.

use crate::abi::Status;
use crate::limits;
use crate::memory::Result;
use crate::pairs::Pairs;
use crate::wasm::memory::{GuestBytes, LinearMemory};

/// A name; `too_long` is the answer for one that is longer than any name can be.
pub fn name<'a>(memory: &'a LinearMemory<'_>, name: GuestBytes, too_long: Status) -> Result<&'a [u8]> {
    bytes(memory, name, limits::NAME, too_long)
}

/// Returns the bytes, of which there may be at most `limit`.
pub fn bytes<'a>(memory: &'a LinearMemory<'_>, bytes: GuestBytes, limit: usize, too_long: Status) -> Result<&'a [u8]> {
    let bytes = memory.bytes(bytes)?;
    if bytes.len() > limit { Err(too_long.into()) } else { Ok(bytes) }
}

/// A serialized map.
pub fn map<'a>(memory: &'a LinearMemory<'_>, map: GuestBytes) -> Result<Pairs<'a>> {
    Ok(Pairs::parse(bytes(memory, map, limits::MAP, Status::BadArgument)?)?)
}
