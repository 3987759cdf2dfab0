//! `:path` from a plugin, made fit for a request line.

use std::borrow::Cow;

/// Puts a slash in front of a path that has none, and percent-encodes spaces and control
/// characters, which would end the request line or split it. Everything else stays as it was.
pub fn from_path(path: &[u8]) -> Cow<'_, [u8]> {
    let slash = path.first() == Some(&b'/');
    if slash && path.iter().all(|&byte| !is_escaped(byte)) {
        return Cow::Borrowed(path);
    }
    let mut target = Vec::with_capacity(path.len() + 16);
    if !slash {
        target.push(b'/');
    }
    path.iter().for_each(|&byte| push(&mut target, byte));
    Cow::Owned(target)
}

/// The first byte that [`from_path`] escapes, if there is one.
pub fn escaped_byte(path: &[u8]) -> Option<u8> {
    path.iter().copied().find(|&byte| is_escaped(byte))
}

fn is_escaped(byte: u8) -> bool {
    byte == b' ' || byte.is_ascii_control()
}

fn push(target: &mut Vec<u8>, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    if is_escaped(byte) {
        target.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    } else {
        target.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_stays_as_it_is() {
        for path in [&b"/"[..], b"/a/b?c=d&e=%2F#f", b"/caf\xc3\xa9/../%0d"] {
            assert!(matches!(from_path(path), Cow::Borrowed(same) if same == path));
        }
    }

    #[test]
    fn a_path_gets_a_leading_slash() {
        for (path, target) in [("", "/"), ("a", "/a"), ("?a=b", "/?a=b"), ("*", "/*"), ("http://a/b", "/http://a/b")] {
            assert_eq!(from_path(path.as_bytes()), target.as_bytes(), "{path}");
        }
    }

    #[test]
    fn what_would_end_the_request_line_is_escaped() {
        assert_eq!(&*from_path(b"/a b\r\nc: d?e f\t\0\x7f"), b"/a%20b%0D%0Ac:%20d?e%20f%09%00%7F");
        assert_eq!(&*from_path(b" /"), b"/%20/");
    }

    #[test]
    fn the_first_that_is_escaped_is_found() {
        assert_eq!(escaped_byte(b"/a%20b?\xff"), None);
        assert_eq!(escaped_byte(b"/a\x7f\n"), Some(0x7f));
        assert_eq!(escaped_byte(b"/a b"), Some(b' '));
    }
}
