//! The messages in the body of a response.

use super::Status;

/// Bytes in front of each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Cuts what has come into messages.
pub struct Messages {
    bytes: Vec<u8>,
    /// Bytes in front that have been taken.
    taken: usize,
    limit: usize,
}

impl Messages {
    /// Takes messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, limit }
    }

    /// Appends what has come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message.
    ///
    /// # Errors
    /// The status that a message this host cannot take ends its call with.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Status> {
        let Some((&[compressed, length @ ..], rest)) = self.bytes[self.taken..].split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Status::internal("compressed message, though no encoding was offered"));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > self.limit {
            return Err(Status::resource_exhausted(length, self.limit));
        }
        let Some(message) = rest.get(..length) else { return Ok(None) };
        self.taken += PREFIX + length;
        Ok(Some(message.to_vec()))
    }
}
