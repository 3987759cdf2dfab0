//! What an HTTP field may hold: nothing that could end a line, or begin another field, on the wire.

use crate::abi::Status;
use crate::pairs::Pairs;

/// Checks one field. Its name may begin with the colon of a pseudo header.
///
/// # Errors
/// `BadArgument` for a name that is empty or has a control character, a space or another colon, and
/// for a value that has CR, LF or NUL.
#[inline]
pub fn check(name: &[u8], value: &[u8]) -> Result<(), Status> {
    check_name(name)?;
    check_value(value)
}

/// Checks all fields of a map.
pub fn check_all(fields: Pairs<'_>) -> Result<(), Status> {
    fields.iter().try_for_each(|(name, value)| check(name, value))
}

/// Checks gRPC metadata. Values of names that end in `-bin` may be any bytes, as they are encoded
/// on the wire.
pub fn check_metadata(metadata: Pairs<'_>) -> Result<(), Status> {
    metadata.iter().try_for_each(|(name, value)| match name.ends_with(b"-bin") {
        true => check_name(name),
        false => check(name, value),
    })
}

/// Checks a name.
#[inline]
pub fn check_name(name: &[u8]) -> Result<(), Status> {
    let word = name.strip_prefix(b":").unwrap_or(name);
    match word.is_empty() || any(word, OF_NAME, |word| word.below(b' ' + 1) | word.equal(b':') | word.equal(0x7f)) {
        true => Err(Status::BadArgument),
        false => Ok(()),
    }
}

/// Eight bytes, which are checked at once.
#[derive(Clone, Copy)]
struct Word(u64);

impl Word {
    /// A word of eight times the same byte.
    const fn all(byte: u8) -> u64 {
        u64::from_ne_bytes([byte; 8])
    }

    /// Sets the highest bit of some byte if one of the bytes is less than `limit`, which is 128 at
    /// most, and else of none: a byte that is less makes the subtraction set its own.
    #[inline]
    fn below(self, limit: u8) -> u64 {
        self.0.wrapping_sub(Self::all(limit)) & !self.0
    }

    /// The same if one of the bytes is this one.
    #[inline]
    fn equal(self, byte: u8) -> u64 {
        Self(self.0 ^ Self::all(byte)).below(1)
    }
}

/// In [`FORBIDDEN`]: a name may not have this byte.
const OF_NAME: u8 = 1;
/// In [`FORBIDDEN`]: a value may not have this byte.
const OF_VALUE: u8 = 2;

/// What each byte is forbidden in.
static FORBIDDEN: [u8; 256] = {
    let (mut forbidden, mut byte) = ([0; 256], 0);
    while byte < 256 {
        if byte <= b' ' as usize || byte == b':' as usize || byte == 0x7f {
            forbidden[byte] |= OF_NAME;
        }
        if byte == b'\r' as usize || byte == b'\n' as usize || byte == 0 {
            forbidden[byte] |= OF_VALUE;
        }
        byte += 1;
    }
    forbidden
};

/// Returns whether bytes are forbidden: a few are looked up one by one, more are compared a word at a
/// time. `forbidden` sets the highest bit of some byte of a word if that has one. Nearly always none
/// is forbidden, so all are looked at. The last word has bytes that the one before has, too.
#[inline]
fn any(bytes: &[u8], of: u8, forbidden: impl Fn(Word) -> u64) -> bool {
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().fold(0, |all, &byte| all | FORBIDDEN[usize::from(byte)]) & of != 0;
    };
    let forbidden = |word: &[u8; 8]| forbidden(Word(u64::from_ne_bytes(*word)));
    let before = bytes[..bytes.len() - 1].as_chunks::<8>().0;
    before.iter().fold(forbidden(last), |all, word| all | forbidden(word)) & Word::all(0x80) != 0
}

#[inline]
fn check_value(value: &[u8]) -> Result<(), Status> {
    match any(value, OF_VALUE, |word| word.equal(b'\r') | word.equal(b'\n') | word.below(1)) {
        true => Err(Status::BadArgument),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pairs::PairsBuf;

    #[test]
    fn fields_of_http_pass() {
        for (name, value) in [
            (&b"x-api"[..], &b"a b\tc"[..]),
            (b"X_API!#$", b""),
            (b":path", b"/a?b=c:d"),
            (b"caf\xc3\xa9", b"\xff\x80"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn what_would_split_a_message_does_not() {
        for name in [&b""[..], b":", b"a b", b"a\r\nb", b"a\nb", b"a\0", b"a:b", b"::a", b" a", b"a\t", b"a\x7f"] {
            assert_eq!(check(name, b"v"), Err(Status::BadArgument), "{name:?}");
        }
        for value in [&b"a\r"[..], b"a\nb: c", b"\0", b"\r\n\r\n"] {
            assert_eq!(check(b"a", value), Err(Status::BadArgument), "{value:?}");
        }
    }

    #[test]
    fn every_byte_is_forbidden_or_not() {
        for byte in 0..=u8::MAX {
            let of_name = byte <= b' ' || byte == b':' || byte == 0x7f;
            let of_value = matches!(byte, b'\r' | b'\n' | b'\0');
            for length in [1, 3, 7, 8, 9, 20] {
                let mut bytes = vec![0xff; length];
                for (at, other) in [(0, b'z'), (length / 2, b'!'), (length - 1, 0x80)] {
                    bytes.fill(other);
                    bytes[at] = byte;
                    // A colon may begin a name.
                    let may_begin = byte == b':' && at == 0 && length > 1;
                    let is_name = !of_name || may_begin;
                    assert_eq!(check_name(&bytes).is_ok(), is_name, "{byte} at {at} of {length}");
                    assert_eq!(check_value(&bytes).is_ok(), !of_value, "{byte} at {at} of {length}");
                }
            }
        }
    }

    #[test]
    fn every_byte_is_looked_at_however_long_the_field() {
        for length in 1..40 {
            for at in 0..length {
                let mut bytes = vec![b'a'; length];
                bytes[at] = b'\n';
                assert_eq!(check(&bytes, b"v"), Err(Status::BadArgument), "a name, {at} of {length}");
                assert_eq!(check(b"a", &bytes), Err(Status::BadArgument), "a value, {at} of {length}");
            }
            assert_eq!(check(&vec![b'a'; length], &vec![b' '; length]), Ok(()), "{length}");
        }
    }

    #[test]
    fn binary_metadata_may_hold_any_byte() {
        let metadata = |name: &str| PairsBuf::from_iter([(name, b"\0\r\n")]);
        assert_eq!(check_metadata(metadata("trace-bin").as_pairs()), Ok(()));
        assert_eq!(check_metadata(metadata("trace").as_pairs()), Err(Status::BadArgument));
        assert_eq!(check_metadata(metadata("tr ace-bin").as_pairs()), Err(Status::BadArgument));
    }
}
