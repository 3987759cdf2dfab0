//! A body, or a piece of one, as a callback sees it. Its bytes stay in nginx's buffers until a
//! plugin changes them.

use std::io;
use std::ops::Range;

use ngx_bindings::Request;
use ngx_bindings::chain::Chain;
use proxy_wasm_host::abi::Status;

use crate::host_memory::{Held, HostMemory};

/// A body on its way through the plugins of a request.
pub struct Body {
    /// The buffers of nginx in which the body, or its end, came. Empty if the body is a copy.
    source: Chain,
    data: Data,
    changed: bool,
    /// Counts a copy for the plugin that caused it.
    held: Option<Held>,
}

enum Data {
    /// The bytes are where nginx has them, in memory or in a file. They are copied only if a plugin
    /// needs a copy.
    Chain,
    /// The bytes are a copy, or what a plugin replaced the body with.
    Bytes(Vec<u8>),
}

impl Default for Body {
    fn default() -> Self {
        Self::of(Chain::EMPTY)
    }
}

impl Body {
    /// Makes a body of nginx's buffers. The chain must outlive it.
    pub fn of(chain: Chain) -> Self {
        Self { source: chain, data: Data::Chain, changed: false, held: None }
    }

    /// Makes a body of copied or replaced bytes.
    pub fn copied(bytes: Vec<u8>, changed: bool) -> Self {
        Self { source: Chain::EMPTY, data: Data::Bytes(bytes), changed, held: None }
    }

    /// The length in bytes.
    pub fn size(&self) -> usize {
        match &self.data {
            Data::Chain => self.source.size(),
            Data::Bytes(bytes) => bytes.len(),
        }
    }

    /// The length in bytes, if the bytes are not where nginx has them.
    pub fn made_size(&self) -> usize {
        match &self.data {
            Data::Chain => 0,
            Data::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether a plugin changed the body.
    pub fn is_changed(&self) -> bool {
        self.changed
    }

    /// Marks the body as changed: it is not what its driver has.
    pub fn set_changed(&mut self) {
        self.changed = true;
    }

    /// Fills `into` with the bytes from `start` on. The range must lie inside the body.
    ///
    /// # Errors
    ///
    /// If the temporary file that nginx keeps the body in cannot be read.
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

    /// The length in bytes that the body would have if `value` bytes replaced `range`.
    pub fn size_with(&self, range: &Range<usize>, value: usize) -> usize {
        self.size() - range.len() + value
    }

    /// Counts, for a plugin, the bytes that the body is about to have here.
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

    /// Replaces a range, which must lie inside the body.
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

    /// Joins two bodies: `held`, which came first, then this one.
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
        match (&mut held.held, self.held.take()) {
            (Some(counted), Some(more)) => counted.join(more),
            (Some(_), None) => {}
            (none, more) => *none = more,
        }
        held.source = self.source;
        Ok(held)
    }

    /// Copies the body out of nginx's buffers, unless it is a copy already.
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

    /// Copies the body if needed, and gives nginx its buffers back.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn keep(&mut self) -> io::Result<()> {
        self.bytes()?;
        std::mem::take(&mut self.source).consume();
        Ok(())
    }

    /// Whether nginx's filters can use the body where it is.
    pub fn suits_filters_of(&self, request: Request) -> bool {
        matches!(self.data, Data::Bytes(_)) || self.source.suits_filters_of(request)
    }

    /// Gives nginx its buffers back. The body is not used any more.
    pub fn drop_source(self) {
        self.source.consume();
    }

    /// Returns what is to be sent: our bytes, with their count, or nginx's buffers as they came.
    pub fn into_owned_or_chain(self) -> Result<(Vec<u8>, Option<Held>), Chain> {
        match self.data {
            Data::Bytes(bytes) => {
                self.source.consume();
                Ok((bytes, self.held))
            }
            Data::Chain => Err(self.source),
        }
    }

    /// Returns the copy or the replacement; `None` if the bytes are still where nginx has them.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self.data {
            Data::Chain => None,
            Data::Bytes(bytes) => Some(bytes),
        }
    }
}
