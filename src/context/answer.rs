//! An answer that is sent instead of the upstream's response.

use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::response;

/// A checked answer, which is sent when the guest has returned.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status code.
    pub status: u32,
    /// The fields to add.
    pub headers: PairsBuf,
    /// The body, which may be empty.
    pub body: Vec<u8>,
    /// Whether this is nginx's page for the status, or the operator's `error_page`, and not a
    /// plugin's answer.
    pub is_page: bool,
}

impl Answer {
    /// Makes an answer of the host's own, with a body of plain text.
    pub fn text(status: u32, body: &[u8]) -> Self {
        Self { status, headers: PairsBuf::default(), body: body.to_vec(), is_page: false }
    }

    /// Makes nginx's page, for a plugin that failed or set an impossible value.
    pub fn page(status: u32) -> Self {
        Self { status, headers: PairsBuf::default(), body: Vec::new(), is_page: true }
    }
}

impl response::Answer for Box<Answer> {
    fn page(&self) -> Option<u32> {
        self.is_page.then_some(self.status)
    }
}
