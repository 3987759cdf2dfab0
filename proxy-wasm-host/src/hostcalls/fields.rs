//! What an HTTP field may hold: nothing that could end a line, or begin another field, on the wire.
//!
//! Spaces and tabs around a value are no part of it (RFC 9110, 5.5). HTTP/1 lets them be sent, HTTP/2
//! and HTTP/3 do not: a message with them is malformed there (RFC 9113, 8.2.1). So a value loses
//! them.

use crate::abi::Status;
use crate::pairs::{Pairs, PairsBuf};

/// Checks one field, and returns its value without spaces and tabs around it. Its name may begin with
/// the colon of a pseudo header.
///
/// # Errors
/// `BadArgument` for a name that is empty or has a control character, a space or another colon, and
/// for a value that has CR, LF or NUL.
#[inline]
pub fn check<'a>(name: &[u8], value: &'a [u8]) -> Result<&'a [u8], Status> {
    check_name(name)?;
    check_value(value)?;
    // Spaces of a path are escaped.
    Ok(if name == b":path" { value } else { trim(value) })
}

/// Checks all fields of a map, and returns them with the values that `check` returns. Where those are
/// others than the guest's, `changed` holds them.
pub fn check_all<'a>(fields: Pairs<'a>, changed: &'a mut PairsBuf) -> Result<Pairs<'a>, Status> {
    check_each(fields, changed, check)
}

/// Checks gRPC metadata like other fields. Values of names that end in `-bin` may be any bytes, as they
/// are encoded on the wire.
pub fn check_metadata<'a>(metadata: Pairs<'a>, changed: &'a mut PairsBuf) -> Result<Pairs<'a>, Status> {
    check_each(metadata, changed, |name, value| match name.ends_with(b"-bin") {
        true => check_name(name).map(|()| value),
        false => check(name, value),
    })
}

/// Checks all fields of a map by a function that returns a value or a part of it.
pub fn check_each<'a>(
    fields: Pairs<'a>,
    changed: &'a mut PairsBuf,
    check: impl for<'v> Fn(&[u8], &'v [u8]) -> Result<&'v [u8], Status>,
) -> Result<Pairs<'a>, Status> {
    let mut changes = false;
    for (name, value) in fields {
        changes |= check(name, value)?.len() != value.len();
    }
    if !changes {
        return Ok(fields);
    }
    for (name, value) in fields {
        changed.push(name, check(name, value)?);
    }
    Ok(changed.as_pairs())
}

/// Returns a value without spaces and tabs around it.
#[inline]
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
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
            assert_eq!(check(name, value), Ok(value), "{name:?}");
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
            assert_eq!(check(&vec![b'a'; length], &vec![b'!'; length]), Ok(&vec![b'!'; length][..]), "{length}");
        }
    }

    #[test]
    fn a_value_loses_spaces_and_tabs_around_it() {
        for (value, trimmed) in
            [(&b" a"[..], &b"a"[..]), (b"a\t", b"a"), (b"\t a \tb \t", b"a \tb"), (b" \t ", b""), (b"", b"")]
        {
            assert_eq!(check(b"a", value), Ok(trimmed));
            assert_eq!(check(b":authority", value), Ok(trimmed));
            assert_eq!(check(b":path", value), Ok(value));
        }
    }

    #[test]
    fn a_map_is_copied_only_if_a_value_changes() {
        let (map, mut changed) = (PairsBuf::from_iter([("a", "1"), ("b", "2 3")]), PairsBuf::new());
        let checked = check_all(map.as_pairs(), &mut changed).unwrap();
        assert!(checked.iter().eq(map.iter()));
        assert!(changed.is_empty());

        let map = PairsBuf::from_iter([("a", "1"), ("b", " 2 3\t"), ("c", " ")]);
        let checked = check_all(map.as_pairs(), &mut changed).unwrap();
        assert!(checked.iter().eq(PairsBuf::from_iter([("a", "1"), ("b", "2 3"), ("c", "")]).iter()));
    }

    #[test]
    fn binary_metadata_may_hold_any_byte() {
        let checked = |name: &str, value: &[u8]| {
            let (metadata, mut changed) = (PairsBuf::from_iter([(name, value)]), PairsBuf::new());
            let checked = check_metadata(metadata.as_pairs(), &mut changed)?;
            Ok(checked.get(name.as_bytes()).unwrap().to_vec())
        };
        assert_eq!(checked("trace-bin", b" \0\r\n "), Ok(b" \0\r\n ".to_vec()));
        assert_eq!(checked("trace", b"\0\r\n"), Err(Status::BadArgument));
        assert_eq!(checked("tr ace-bin", b"1"), Err(Status::BadArgument));
        assert_eq!(checked("trace", b" 1 "), Ok(b"1".to_vec()));
    }
}
