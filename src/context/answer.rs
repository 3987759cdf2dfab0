//! An answer in the upstream's place.

use proxy_wasm_host::pairs::PairsBuf;

/// A checked answer, to be sent when the guest has returned.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status code.
    pub status: u32,
    /// Fields to add.
    pub headers: PairsBuf,
    /// May be empty.
    pub body: Vec<u8>,
}

impl Answer {
    /// A plain text, of the host's own.
    pub fn text(status: u32, body: &[u8]) -> Self {
        Self { status, headers: PairsBuf::default(), body: body.to_vec() }
    }
}
