//! Fuzzes the body of a gRPC response, which a server may send in pieces of any size.

use proxy_wasm_host::outgoing::messages::{Messages, framed};

use crate::input::Input;

/// The most bytes that one message may have.
const LIMIT: usize = 300;

/// Expects the same messages however a body is cut. Framed again they are the same bytes, and none
/// is larger than allowed.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let size = usize::from(input.byte()).max(1);
    let body = input.rest();
    let (whole, fault) = read(body.chunks(body.len().max(1)));
    let (pieces, fault_in_pieces) = read(body.chunks(size));
    assert_eq!((&whole, fault), (&pieces, fault_in_pieces));

    let again: Vec<u8> = whole.iter().flat_map(|message| framed(message).expect("a length of 32 bits")).collect();
    assert!(body.starts_with(&again));
    assert!(whole.iter().all(|message| message.len() <= LIMIT));
}

/// Returns the messages, and whether the server broke the protocol after them.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut messages = Messages::new(LIMIT);
    let mut read = Vec::new();
    for piece in pieces {
        messages.push(piece);
        loop {
            match messages.take_message() {
                Ok(Some(message)) => read.push(message),
                Ok(None) => break,
                Err(status) => {
                    assert!(!status.is_ok());
                    return (read, true);
                }
            }
        }
    }
    (read, false)
}
