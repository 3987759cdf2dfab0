//! A body, or a piece of one, as a callback sees it: nginx's buffers until the plugin changes them.

use std::io;
use std::ops::Range;

use ngx_bindings::Request;
use ngx_bindings::chain::Chain;
use proxy_wasm_host::abi::Status;

use crate::host_memory::{Held, HostMemory};

/// A body on its way through the plugins of a request.
pub struct Body {
    /// The buffers of nginx that the body, or its end, came in; empty for a copy.
    source: Chain,
    data: Data,
    changed: bool,
    /// Of a copy, what is counted for the plugin that had it made.
    held: Option<Held>,
}

enum Data {
    /// Where nginx has it, in memory or in a file: nothing is copied that no plugin asks for.
    Chain,
    /// What a plugin made of it, or a copy of what waits.
    Bytes(Vec<u8>),
}

impl Body {
    /// A body that nginx holds; the chain outlives this.
    pub fn of(chain: Chain) -> Self {
        Self { source: chain, data: Data::Chain, changed: false, held: None }
    }

    /// A copy of a body, or what came in place of one.
    pub fn copied(bytes: Vec<u8>, changed: bool) -> Self {
        Self { source: Chain::EMPTY, data: Data::Bytes(bytes), changed, held: None }
    }

    /// Its length in bytes.
    pub fn size(&self) -> usize {
        match &self.data {
            Data::Chain => self.source.size(),
            Data::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether a plugin changed it.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Fills `into` from `start`; the range lies inside the body.
    ///
    /// # Errors
    ///
    /// When the file that nginx keeps it in cannot be read.
    pub fn read(&self, start: usize, into: &mut [u8]) -> io::Result<()> {
        match &self.data {
            Data::Chain => self.source.read(start, into),
            Data::Bytes(bytes) => {
                let range = bytes.get(start..start + into.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
                into.copy_from_slice(range);
                Ok(())
            }
        }
    }

    /// Its length in bytes, were a range of it replaced by so many bytes.
    pub fn size_with(&self, range: &Range<usize>, value: usize) -> usize {
        self.size() - range.len() + value
    }

    /// Counts so many bytes, which the body is about to have here, for a plugin.
    ///
    /// # Errors
    ///
    /// As [`HostMemory::take`].
    pub fn count_for(&mut self, memory: HostMemory, bytes: usize) -> Result<(), Status> {
        match &mut self.held {
            Some(held) if held.is_of(memory) => held.set(bytes),
            other => memory.take(bytes).map(|held| *other = Some(held)),
        }
    }

    /// Replaces a range, which lies inside the body.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn replace(&mut self, range: Range<usize>, value: &[u8]) -> io::Result<()> {
        if range == (0..self.size()) {
            self.data = Data::Bytes(value.to_vec());
        } else {
            self.bytes()?.splice(range, value.iter().copied());
        }
        self.changed = true;
        Ok(())
    }

    /// The body after `held`, which came before it.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn after(mut self, mut held: Self) -> io::Result<Self> {
        let start = held.bytes()?;
        let before = start.len();
        start.resize(before + self.size(), 0);
        self.read(0, &mut start[before..])?;
        held.changed |= std::mem::take(&mut self.changed);
        held.source = self.source;
        Ok(held)
    }

    /// Copies the body out of nginx's buffers, if it is still there.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn bytes(&mut self) -> io::Result<&mut Vec<u8>> {
        if let Data::Chain = self.data {
            let mut bytes = vec![0; self.source.size()];
            self.source.read(0, &mut bytes)?;
            self.data = Data::Bytes(bytes);
        }
        match &mut self.data {
            Data::Bytes(bytes) => Ok(bytes),
            Data::Chain => Err(io::ErrorKind::Other.into()),
        }
    }

    /// Copies what nginx still has of the body, and lets nginx use its buffers again.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn keep(&mut self) -> io::Result<()> {
        self.bytes()?;
        std::mem::take(&mut self.source).consume();
        Ok(())
    }

    /// Whether nginx's filters can take the body from where it is.
    pub fn suits_filters_of(&self, request: Request) -> bool {
        matches!(self.data, Data::Bytes(_)) || self.source.suits_filters_of(request)
    }

    /// Lets nginx use its buffers again, for a body of which nothing more is asked.
    pub fn drop_source(self) {
        self.source.consume();
    }

    /// What is to be sent: bytes of our own, or nginx's buffers as they came.
    pub fn into_owned_or_chain(self) -> Result<Vec<u8>, Chain> {
        match self.data {
            Data::Bytes(bytes) => {
                self.source.consume();
                Ok(bytes)
            }
            Data::Chain => Err(self.source),
        }
    }

    /// The copy, or what the plugin made of it; `None` if nginx still has it as it was.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self.data {
            Data::Chain => None,
            Data::Bytes(bytes) => Some(bytes),
        }
    }
}
