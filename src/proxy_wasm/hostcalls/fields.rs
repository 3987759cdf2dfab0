//! What may stand in an HTTP field: nothing that could end a line, or begin another field, on the wire.

use crate::proxy_wasm::abi::Status;
use crate::proxy_wasm::pairs::Pairs;

/// Checks one field. A name may begin with the colon of a pseudo header.
///
/// # Errors
/// `BadArgument` for a name that is empty or holds a control character, a space or another colon, and for a value that
/// holds CR, LF or NUL.
pub fn check(name: &[u8], value: &[u8]) -> Result<(), Status> {
    check_name(name)?;
    check_value(value)
}

/// Checks all fields of a map.
pub fn check_all(fields: Pairs<'_>) -> Result<(), Status> {
    fields.iter().try_for_each(|(name, value)| check(name, value))
}

/// Checks gRPC metadata, where the values of names in `-bin` are bytes, to be encoded on the wire.
pub fn check_metadata(metadata: Pairs<'_>) -> Result<(), Status> {
    metadata.iter().try_for_each(|(name, value)| match name.ends_with(b"-bin") {
        true => check_name(name),
        false => check(name, value),
    })
}

/// Checks a name.
pub fn check_name(name: &[u8]) -> Result<(), Status> {
    let word = name.strip_prefix(b":").unwrap_or(name);
    match word.is_empty() || any(word, breaks_name, NAME) {
        true => Err(Status::BadArgument),
        false => Ok(()),
    }
}

fn check_value(value: &[u8]) -> Result<(), Status> {
    match any(value, breaks_value, VALUE) {
        true => Err(Status::BadArgument),
        false => Ok(()),
    }
}

const fn breaks_name(byte: u8) -> bool {
    byte <= b' ' || byte == b':' || byte == 0x7f
}

const fn breaks_value(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | b'\0')
}

/// Whether a byte is forbidden. Nearly always none is, so all are looked at without a stop: 16 at a time, for which processors have
/// instructions, and what is left, which of most names is the whole, by the [`TABLE`].
fn any(bytes: &[u8], forbidden: impl Fn(u8) -> bool, column: u8) -> bool {
    let (chunks, rest) = bytes.as_chunks::<16>();
    let in_chunks = chunks.as_flattened().iter().fold(false, |any, &byte| any | forbidden(byte));
    let in_rest = rest.iter().fold(0, |any, &byte| any | TABLE[usize::from(byte)]);
    in_chunks || in_rest & column != 0
}

const NAME: u8 = 1;
const VALUE: u8 = 2;

/// What [`breaks_name`] and [`breaks_value`] say of each byte.
static TABLE: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = NAME * breaks_name(byte as u8) as u8 + VALUE * breaks_value(byte as u8) as u8;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_wasm::pairs::PairsBuf;

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
