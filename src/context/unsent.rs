//! What plugins made of a response's body, until the client has it.

use std::cell::RefCell;

use ngx_bindings::Request;
use ngx_bindings::chain::{Chain, Marks, OwnedBuf};
use ngx_bindings::pool::AllocError;

/// Buffers of our own that nginx's filters have, or had.
#[derive(Default)]
pub struct Unsent {
    waiting: RefCell<Vec<OwnedBuf>>,
    /// Sent, to be filled again: a response that never ends would else fill its pool.
    spare: RefCell<Vec<OwnedBuf>>,
}

impl Unsent {
    /// A chain of these bytes; they stay until they are sent.
    pub fn add(&self, request: Request, bytes: Vec<u8>, marks: Marks) -> Result<Chain, AllocError> {
        if bytes.is_empty() {
            // Nothing says when nginx has passed an empty buffer on, so it is never filled again.
            return Ok(OwnedBuf::new(request.pool())?.fill(bytes, marks));
        }
        let spare = self.spare.borrow_mut().pop();
        let mut buf = spare.map_or_else(|| OwnedBuf::new(request.pool()), Ok)?;
        let chain = buf.fill(bytes, marks);
        self.waiting.borrow_mut().push(buf);
        Ok(chain)
    }

    /// Forgets what nginx has sent; answers how many bytes it has not.
    pub fn collect(&self) -> usize {
        let (mut waiting, mut spare) = (self.waiting.borrow_mut(), self.spare.borrow_mut());
        spare.extend(waiting.extract_if(.., |buf| buf.unsent() == 0).map(|mut buf| {
            buf.clear();
            buf
        }));
        waiting.iter().map(OwnedBuf::unsent).sum()
    }
}
