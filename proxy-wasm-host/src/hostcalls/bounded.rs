//! What a guest names, no longer than [`limits`] says.

use crate::abi::Status;
use crate::limits;
use crate::memory::Result;
use crate::pairs::Pairs;
use crate::wasm::memory::{GuestBytes, LinearMemory};

/// A name; `too_long` is what one is answered that nothing can bear.
pub fn name<'a>(memory: &'a LinearMemory<'_>, name: GuestBytes, too_long: Status) -> Result<&'a [u8]> {
    bytes(memory, name, limits::NAME, too_long)
}

/// At most `limit` bytes.
pub fn bytes<'a>(memory: &'a LinearMemory<'_>, bytes: GuestBytes, limit: usize, too_long: Status) -> Result<&'a [u8]> {
    let bytes = memory.bytes(bytes)?;
    if bytes.len() > limit { Err(too_long.into()) } else { Ok(bytes) }
}

/// A serialized map.
pub fn map<'a>(memory: &'a LinearMemory<'_>, map: GuestBytes) -> Result<Pairs<'a>> {
    Ok(Pairs::parse(bytes(memory, map, limits::MAP, Status::BadArgument)?)?)
}
