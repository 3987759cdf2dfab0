//! Messages in the body of a gRPC request or response, each after its length.
//!
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, "Length-Prefixed-Message".

use super::Status;

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Frames a message for sending, uncompressed and after its length; `None` if the message is too
/// large for that.
pub fn framed(message: &[u8]) -> Option<Vec<u8>> {
    let length = u32::try_from(message.len()).ok()?;
    Some([&[0][..], &length.to_be_bytes(), message].concat())
}

/// Splits received bytes into messages.
pub struct Messages {
    bytes: Vec<u8>,
    /// Bytes at the front that have been taken already.
    taken: usize,
    limit: usize,
}

impl Messages {
    /// Accepts messages of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, limit }
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..std::mem::take(&mut self.taken));
        self.bytes.extend_from_slice(bytes);
    }

    /// The number of bytes that have not been taken.
    pub fn size(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Returns the next whole message.
    ///
    /// # Errors
    /// The status that ends the call, for a message that this host cannot take.
    pub fn take_message(&mut self) -> Result<Option<Vec<u8>>, Status> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(messages: &mut Messages) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| messages.take_message().expect("no fault")).collect()
    }

    #[test]
    fn messages_come_out_as_they_were_framed_however_they_are_cut() {
        let sent: [&[u8]; 4] = [b"", b"a", b"bc", &[7; 300]];
        let bytes: Vec<u8> = sent.iter().flat_map(|message| framed(message).unwrap()).collect();
        for size in [1, 2, 5, 6, 100, bytes.len()] {
            let mut messages = Messages::new(300);
            let mut received = Vec::new();
            for piece in bytes.chunks(size) {
                messages.push(piece);
                received.extend(read(&mut messages));
            }
            assert_eq!(received, sent, "in pieces of {size}");
        }
    }

    #[test]
    fn a_message_that_is_not_whole_is_none() {
        let mut messages = Messages::new(10);
        messages.push(&[0, 0, 0, 0]);
        assert_eq!(messages.take_message(), Ok(None));
        messages.push(&[2, b'a']);
        assert_eq!(messages.take_message(), Ok(None));
        messages.push(b"b");
        assert_eq!(messages.take_message(), Ok(Some(b"ab".to_vec())));
        assert_eq!(messages.take_message(), Ok(None));
    }

    #[test]
    fn a_message_over_the_limit_ends_the_call_before_it_has_come() {
        let mut messages = Messages::new(10);
        messages.push(&[0, 0, 0, 0, 11]);
        assert_eq!(messages.take_message(), Err(Status::resource_exhausted(11, 10)));
        let mut messages = Messages::new(10);
        messages.push(&[0, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(messages.take_message(), Err(Status::resource_exhausted(0xffff_ffff, 10)));
    }

    #[test]
    fn a_compressed_message_ends_the_call() {
        let mut messages = Messages::new(10);
        messages.push(&[1, 0, 0, 0, 1, 0]);
        assert_eq!(messages.take_message().unwrap_err().code, 13);
    }
}
