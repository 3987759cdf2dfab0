//! Envoy's `compress` and `uncompress`: zlib's format (RFC 1950).

use miniz_oxide::deflate::compress_to_vec_zlib;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use crate::abi::Status;
use crate::host::Result;
use crate::limits::foreign_functions::{COMPRESS, UNCOMPRESSED};

/// zlib's own default.
const LEVEL: u8 = 6;

/// # Errors
/// `BadArgument` for more than the limit.
pub fn compress(plain: &[u8]) -> Result<Vec<u8>> {
    if plain.len() > COMPRESS {
        return Err(Status::BadArgument);
    }
    Ok(compress_to_vec_zlib(plain, LEVEL))
}

/// # Errors
/// `SerializationFailure` for what is not zlib's format, or is larger than the limit when it is
/// uncompressed.
pub fn uncompress(compressed: &[u8]) -> Result<Vec<u8>> {
    decompress_to_vec_zlib_with_limit(compressed, UNCOMPRESSED).map_err(|_| Status::SerializationFailure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_is_uncompressed() {
        for plain in [&b""[..], b"hello hello hello", &[7; 100_000]] {
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

    #[test]
    fn every_cut_is_refused() {
        let compressed = compress(b"hello hello hello").unwrap();
        for end in 0..compressed.len() {
            assert_eq!(uncompress(&compressed[..end]), Err(Status::SerializationFailure));
        }
        assert_eq!(uncompress(b"hello"), Err(Status::SerializationFailure));
    }
}
