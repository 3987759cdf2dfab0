//! The bytes that plugins made of a body, until the client has them, or, of a request's, the server.

use std::cell::RefCell;

use ngx_bindings::Request;
use ngx_bindings::chain::{Chain, Marks, OwnedBuf};
use ngx_bindings::pool::AllocError;

use crate::host_memory::Held;
use crate::limits::response::UNSENT;

/// Buffers of this module that nginx's filters use, or used.
#[derive(Default)]
pub struct Unsent {
    waiting: RefCell<Vec<OwnedBuf>>,
    /// Counts for their plugins, until all is sent, the bytes of pieces that are larger than what may
    /// wait: of others there are never many.
    held: RefCell<Vec<Held>>,
    /// Buffers that were sent, for reuse. Without it an endless response would fill its pool.
    spare: RefCell<Vec<OwnedBuf>>,
}

impl Unsent {
    /// Makes a chain of these bytes, which are kept until they are sent. `held` counts them for the
    /// plugin that made them.
    pub fn add(
        &self,
        request: Request,
        (bytes, held): (Vec<u8>, Option<Held>),
        marks: Marks,
    ) -> Result<Chain, AllocError> {
        if bytes.is_empty() {
            // Nothing shows when nginx has passed on an empty buffer, so it is never reused.
            return Ok(OwnedBuf::new(request.pool())?.fill(bytes, marks));
        }
        let spare = self.spare.borrow_mut().pop();
        let mut buf = spare.map_or_else(|| OwnedBuf::new(request.pool()), Ok)?;
        if let Some(held) = held.filter(|_| bytes.len() > UNSENT) {
            self.held.borrow_mut().push(held);
        }
        let chain = buf.fill(bytes, marks);
        self.waiting.borrow_mut().push(buf);
        Ok(chain)
    }

    /// Forgets the buffers that nginx has sent. Returns how many bytes it has not.
    pub fn collect(&self) -> usize {
        let (mut waiting, mut spare) = (self.waiting.borrow_mut(), self.spare.borrow_mut());
        spare.extend(waiting.extract_if(.., |buf| buf.unsent() == 0).map(|mut buf| {
            buf.clear();
            buf
        }));
        if waiting.is_empty() {
            self.held.borrow_mut().clear();
        }
        waiting.iter().map(OwnedBuf::unsent).sum()
    }
}
