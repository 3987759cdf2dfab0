//! Fuzzes the end of a Redis server's reply, which may come in pieces of any size.

use proxy_wasm_host::outgoing::redis::ReplyEnd;

use crate::input::Input;

/// Expects the same end however a reply is cut, and that no reply is shorter than it announced.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.byte()).max(1);
    let bytes = input.rest();
    let whole = ReplyEnd::default().find(bytes);
    let (mut end, mut found) = (ReplyEnd::default(), Ok(None));
    let (mut least, mut length) = (0, 0);
    while found == Ok(None) && length < bytes.len() {
        length = bytes.len().min(length + size);
        found = end.find(&bytes[..length]);
        assert!(found.is_err() || end.least() >= least, "what a reply announces is kept");
        least = end.least();
    }
    assert_eq!(found, whole);
    if let Ok(Some(length)) = whole {
        assert!(least <= length && ReplyEnd::default().find(&bytes[..length]) == Ok(Some(length)));
        assert_eq!(ReplyEnd::default().find(&bytes[..length - 1]), Ok(None));
    }
}
