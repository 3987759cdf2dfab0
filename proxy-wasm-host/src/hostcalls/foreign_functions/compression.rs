//! Envoy's `compress` and `uncompress`: zlib's format (RFC 1950).
//!
//! What a byte of zlib's format costs is up to whoever made it: a block of ten bits may have a table
//! to build, and no content. So the time is measured while the bytes are read, a piece at a time.

use std::time::Duration;

use miniz_oxide::deflate::core::{
    CompressorOxide, TDEFLFlush, TDEFLStatus, compress as deflate, create_comp_flags_from_zip_params,
};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress as inflate, inflate_flags};
use nix::time::{ClockId, clock_gettime};

use crate::abi::Status;
use crate::host::Result;
use crate::limits::foreign_functions::{COMPRESS, TIME, UNCOMPRESSED};

/// zlib's own default.
const LEVEL: i32 = 6;

/// A positive number stands for zlib's format.
const WINDOW_BITS: i32 = 15;

/// Bytes that are read before the time is looked at. The slowest ones, empty blocks, take some
/// milliseconds.
const PIECE: usize = 4 << 10;

/// Bytes of the buffer that results start with.
const FIRST: usize = 4 << 10;

/// The time that a call may take, on the processor.
struct Budget {
    ends: Duration,
}

impl Budget {
    fn new() -> Self {
        Self { ends: Self::now() + TIME }
    }

    fn is_spent(&self) -> bool {
        Self::now() > self.ends
    }

    fn now() -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
    }
}

/// # Errors
/// `BadArgument` for more than the limit, and for what takes too long.
pub fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    if plain.len() > COMPRESS {
        return Err(Status::BadArgument);
    }
    let mut compressor = CompressorOxide::new(create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0));
    let (mut compressed, mut length, mut read) = (vec![0; FIRST], 0, 0);
    let budget = Budget::new();
    loop {
        let piece = &plain[read..plain.len().min(read + PIECE)];
        let is_last = read + piece.len() == plain.len();
        let flush = if is_last { TDEFLFlush::Finish } else { TDEFLFlush::None };
        let (status, taken, given) = deflate(&mut compressor, piece, &mut compressed[length..], flush);
        read += taken;
        length += given;
        match status {
            TDEFLStatus::Done => break,
            TDEFLStatus::Okay if !budget.is_spent() => {}
            _ => return Err(Status::BadArgument),
        }
        if length == compressed.len() {
            compressed.resize(2 * length, 0);
        }
    }
    compressed.truncate(length);
    Ok(compressed)
}

/// # Errors
/// `SerializationFailure` for what is not zlib's format, is larger than the limit when it is
/// uncompressed, or takes too long.
pub fn uncompress(compressed: &[u8]) -> Result<Vec<u8>> {
    let mut decompressor = DecompressorOxide::new();
    let (mut plain, mut length, mut read) = (vec![0; FIRST], 0, 0);
    let budget = Budget::new();
    loop {
        let piece = &compressed[read..compressed.len().min(read + PIECE)];
        let is_last = read + piece.len() == compressed.len();
        let flags = inflate_flags::TINFL_FLAG_PARSE_ZLIB_HEADER
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | if is_last { 0 } else { inflate_flags::TINFL_FLAG_HAS_MORE_INPUT };
        let (status, taken, given) = inflate(&mut decompressor, piece, &mut plain, length, flags);
        read += taken;
        length += given;
        match status {
            TINFLStatus::Done => break,
            TINFLStatus::NeedsMoreInput if !is_last => {}
            TINFLStatus::HasMoreOutput if length < UNCOMPRESSED => {
                plain.resize((2 * plain.len()).min(UNCOMPRESSED), 0);
            }
            _ => return Err(Status::SerializationFailure),
        }
        if budget.is_spent() {
            return Err(Status::SerializationFailure);
        }
    }
    plain.truncate(length);
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec_zlib;

    use super::*;

    #[test]
    fn what_is_compressed_is_uncompressed() {
        let mut seed = 1_u32;
        let mut noise = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let noise: Vec<u8> = (0..100_000).map(|_| noise()).collect();
        for plain in [&b""[..], b"hello hello hello", &[7; 100_000], &noise, &noise[..PIECE], &noise[..FIRST - 11]] {
            let compressed = compress(plain).unwrap();
            assert_eq!(uncompress(&compressed).as_deref(), Ok(plain));
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let bomb = compress_to_vec_zlib(&vec![0; UNCOMPRESSED + 1], 9);
        assert!(bomb.len() < UNCOMPRESSED / 900, "{}", bomb.len());
        assert_eq!(uncompress(&bomb), Err(Status::SerializationFailure));
        assert_eq!(compress(&vec![0; COMPRESS + 1]), Err(Status::BadArgument));
    }

    /// Valid, and without any content: 10 million blocks, which would take half a minute.
    #[test]
    fn blocks_without_content_are_not_read_for_long() {
        // Four blocks of 10 bits: the last one's flag is not set, fixed codes, the end.
        let blocks = [0b0000_0010, 0b0000_1000, 0b0010_0000, 0b1000_0000, 0];
        let mut bomb = vec![0x78, 0x9c];
        bomb.extend(blocks.repeat(2_500_000));
        bomb.extend([0b0000_0011, 0, 0, 0, 0, 1]);
        let short = [&[0x78, 0x9c][..], &blocks, &[0b0000_0011, 0, 0, 0, 0, 1]].concat();
        assert_eq!(uncompress(&short), Ok(Vec::new()));
        assert_eq!(uncompress(&bomb), Err(Status::SerializationFailure));
    }

    #[test]
    fn every_cut_is_refused() {
        let compressed = compress(b"hello hello hello").unwrap();
        for end in 0..compressed.len() {
            assert_eq!(uncompress(&compressed[..end]), Err(Status::SerializationFailure));
        }
        assert_eq!(uncompress(b"hello"), Err(Status::SerializationFailure));
    }
}
