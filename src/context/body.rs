//! A body, or a piece of one, as a callback sees it. Its bytes stay in nginx's buffers until a
//! plugin changes them.

use std::io;
use std::ops::Range;

use ngx_bindings::Request;
use ngx_bindings::chain::Chain;
use proxy_wasm_host::abi::Status;

use crate::host_memory::{Held, HostMemory};

/// A body on its way through the plugins of a request. It is moved often, and most bodies are only looked
/// at: what the others have of their own is in a box.
#[derive(Default)]
pub struct Body {
    /// The buffers of nginx in which the body, or its end, came. Empty if the body is a copy.
    source: Chain,
    own: Option<Box<Own>>,
}

#[derive(Default)]
struct Own {
    /// A copy, or what a plugin replaced the body with. Without it the bytes are where nginx has them, in
    /// memory or in a file.
    bytes: Option<Vec<u8>>,
    changed: bool,
    /// Counts a copy for the plugin that caused it.
    held: Option<Held>,
}

impl Body {
    /// Makes a body of nginx's buffers. The chain must outlive it.
    #[inline]
    pub fn of(chain: Chain) -> Self {
        Self { source: chain, own: None }
    }

    /// Makes a body of copied or replaced bytes.
    pub fn copied(bytes: Vec<u8>, changed: bool) -> Self {
        Self { source: Chain::EMPTY, own: Some(Box::new(Own { bytes: Some(bytes), changed, held: None })) }
    }

    /// The bytes, unless they are where nginx has them.
    #[inline]
    fn made(&self) -> Option<&Vec<u8>> {
        self.own.as_ref()?.bytes.as_ref()
    }

    fn own(&mut self) -> &mut Own {
        self.own.get_or_insert_default()
    }

    /// The length in bytes.
    #[inline]
    pub fn size(&self) -> usize {
        self.made().map_or_else(|| self.source.size(), Vec::len)
    }

    /// The length in bytes, if the bytes are not where nginx has them.
    pub fn made_size(&self) -> usize {
        self.made().map_or(0, Vec::len)
    }

    /// Whether a plugin changed the body.
    #[inline]
    pub fn is_changed(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.changed)
    }

    /// Marks the body as changed: it is not what its driver has.
    pub fn set_changed(&mut self) {
        self.own().changed = true;
    }

    /// Fills `into` with the bytes from `start` on. The range must lie inside the body.
    ///
    /// # Errors
    ///
    /// If the temporary file that nginx keeps the body in cannot be read.
    pub fn read(&self, start: usize, into: &mut [u8]) -> io::Result<()> {
        match self.made() {
            None => self.source.read(start, into),
            Some(bytes) => {
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
        match &mut self.own().held {
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
            self.own().bytes = Some(value.to_vec());
        } else {
            self.bytes()?.splice(range, value.iter().copied());
        }
        self.set_changed();
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
        if let Some(more) = self.own.take() {
            held.own().add(*more);
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
        let Self { source, own } = self;
        let bytes = &mut own.get_or_insert_default().bytes;
        if bytes.is_none() {
            let mut copy = vec![0; source.size()];
            source.read(0, &mut copy)?;
            *bytes = Some(copy);
        }
        Ok(bytes.get_or_insert_default())
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
        self.made().is_some() || self.source.suits_filters_of(request)
    }

    /// Gives nginx its buffers back. The body is not used any more.
    pub fn drop_source(self) {
        self.source.consume();
    }

    /// Returns what is to be sent: our bytes, with their count, or nginx's buffers as they came.
    pub fn into_owned_or_chain(self) -> Result<(Vec<u8>, Option<Held>), Chain> {
        match self.own.map(|own| *own) {
            Some(Own { bytes: Some(bytes), held, .. }) => {
                self.source.consume();
                Ok((bytes, held))
            }
            _ => Err(self.source),
        }
    }

    /// Returns the copy or the replacement; `None` if the bytes are still where nginx has them.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        self.own?.bytes
    }
}

impl Own {
    /// Adds to a body what the one behind it has, but for its bytes.
    fn add(&mut self, behind: Self) {
        self.changed |= behind.changed;
        match (&mut self.held, behind.held) {
            (Some(counted), Some(more)) => counted.join(more),
            (Some(_), None) => {}
            (none, more) => *none = more,
        }
    }
}
