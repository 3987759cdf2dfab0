//! What an HTTP field may hold: nothing that could end a line, or begin another field, on the wire.

use crate::abi::Status;
use crate::pairs::Pairs;

/// Checks one field. Its name may begin with the colon of a pseudo header.
///
/// # Errors
/// `BadArgument` for a name that is empty or has a control character, a space or another colon, and
/// for a value that has CR, LF or NUL.
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
pub fn check_name(name: &[u8]) -> Result<(), Status> {
    let word = name.strip_prefix(b":").unwrap_or(name);
    match word.is_empty() || any(word, |byte| byte <= b' ' || byte == b':' || byte == 0x7f) {
        true => Err(Status::BadArgument),
        false => Ok(()),
    }
}

/// Returns whether a byte is forbidden. Nearly always none is, so the loop reads all bytes without
/// an early exit: the compiler then checks 16 at a time.
fn any(bytes: &[u8], forbidden: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(false, |any, &byte| any | forbidden(byte))
}

fn check_value(value: &[u8]) -> Result<(), Status> {
    match any(value, |byte| matches!(byte, b'\r' | b'\n' | b'\0')) {
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
