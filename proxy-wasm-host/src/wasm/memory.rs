//! The linear memory of an instance, with checks: the guest chose every address and size in this
//! file.

/// A range that does not lie in the guest's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds;

/// A range of guest memory, as the guest passes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestBytes {
    /// The address of the first byte.
    pub address: u32,
    /// The number of bytes.
    pub size: u32,
}

/// All of an instance's memory as it is now. The memory moves when the guest grows it, so it is
/// borrowed anew after every call into the guest. It never shrinks, so a range that was inside
/// stays inside.
pub struct LinearMemory<'a>(&'a mut [u8]);

impl<'a> LinearMemory<'a> {
    /// The memory of a `wasmtime::Memory`.
    pub fn new(bytes: &'a mut [u8]) -> Self {
        Self(bytes)
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn bytes(&self, range: GuestBytes) -> Result<&[u8], OutOfBounds> {
        let (start, end) = bounds(range)?;
        self.0.get(start..end).ok_or(OutOfBounds)
    }

    /// The bytes of a range, to write them.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn bytes_mut(&mut self, range: GuestBytes) -> Result<&mut [u8], OutOfBounds> {
        let (start, end) = bounds(range)?;
        self.0.get_mut(start..end).ok_or(OutOfBounds)
    }

    /// Whether a range lies inside.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn check(&self, address: u32, size: u32) -> Result<(), OutOfBounds> {
        self.bytes(GuestBytes { address, size }).map(drop)
    }

    /// Reads a little-endian number.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn read_u32(&self, address: u32) -> Result<u32, OutOfBounds> {
        let bytes = self.bytes(GuestBytes { address, size: 4 })?;
        bytes.try_into().map(u32::from_le_bytes).map_err(|_| OutOfBounds)
    }

    /// Writes a little-endian number.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn write_u32(&mut self, address: u32, value: u32) -> Result<(), OutOfBounds> {
        self.write(address, &value.to_le_bytes())
    }

    /// Writes a little-endian number.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn write_u64(&mut self, address: u32, value: u64) -> Result<(), OutOfBounds> {
        self.write(address, &value.to_le_bytes())
    }

    /// Writes a few bytes.
    ///
    /// # Errors
    /// When the range does not lie inside.
    pub fn write(&mut self, address: u32, value: &[u8]) -> Result<(), OutOfBounds> {
        let size = u32::try_from(value.len()).map_err(|_| OutOfBounds)?;
        self.bytes_mut(GuestBytes { address, size })?.copy_from_slice(value);
        Ok(())
    }
}

/// Converts to `usize`, where address plus size cannot wrap as they can in 32 bits.
fn bounds(range: GuestBytes) -> Result<(usize, usize), OutOfBounds> {
    let start = usize::try_from(range.address).map_err(|_| OutOfBounds)?;
    let size = usize::try_from(range.size).map_err(|_| OutOfBounds)?;
    Ok((start, start.checked_add(size).ok_or(OutOfBounds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: u32, size: u32) -> GuestBytes {
        GuestBytes { address, size }
    }

    #[test]
    fn a_range_inside_is_read_and_written() {
        let mut bytes = *b"0123456789";
        let mut memory = LinearMemory::new(&mut bytes);
        assert_eq!(memory.bytes(at(0, 10)), Ok(&b"0123456789"[..]));
        assert_eq!(memory.bytes(at(8, 2)), Ok(&b"89"[..]));
        assert_eq!(memory.bytes(at(10, 0)), Ok(&b""[..]));
        assert_eq!(memory.write_u32(6, 0x6463_6261), Ok(()));
        assert_eq!(memory.read_u32(6), Ok(0x6463_6261));
        assert_eq!(&bytes, b"012345abcd");
    }

    #[test]
    fn a_range_that_reaches_out_is_refused() {
        let mut bytes = [0; 16];
        let mut memory = LinearMemory::new(&mut bytes);
        for (address, size) in [
            (16, 1),
            (17, 0),
            (0, 17),
            (u32::MAX, 0),
            (u32::MAX, 1),
            // Sums that wrap to a small number in 32 bits.
            (u32::MAX, 2),
            (8, u32::MAX),
            (0x8000_0000, 0x8000_0000),
            (u32::MAX, u32::MAX),
        ] {
            assert_eq!(memory.bytes(at(address, size)), Err(OutOfBounds), "{address} {size}");
            assert_eq!(memory.check(address, size), Err(OutOfBounds), "{address} {size}");
        }
        for address in [13, 16, u32::MAX - 3, u32::MAX] {
            assert_eq!(memory.write_u32(address, 1), Err(OutOfBounds), "{address}");
            assert_eq!(memory.read_u32(address), Err(OutOfBounds), "{address}");
        }
        assert_eq!(memory.write_u64(9, 1), Err(OutOfBounds));
        assert_eq!(bytes, [0; 16]);
    }
}
