//! The messages in the body of a response.

use super::Status;

/// Bytes in front of each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Cuts what has come into messages.
pub struct Messages {
    bytes: Vec<u8>,
    limit: usize,
}

impl Messages {
    /// Takes messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit }
    }

    /// Appends what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// The status that a message this host cannot take ends its call with.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        let Some((&[compressed, length @ ..], rest)) = self.bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Status::internal("compressed message, though no encoding was offered"));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > self.limit {
            return Err(Status::resource_exhausted(length, self.limit));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let rest = self.bytes.split_off(PREFIX + length);
        let mut message = std::mem::replace(&mut self.bytes, rest);
        message.drain(..PREFIX);
        Ok(Some(message))
    }
}
