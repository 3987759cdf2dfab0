//! `ngx_buf.h`: bodies in nginx's form, which is a chain of buffers in memory or in files.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;
use std::ptr::{self, NonNull};
use std::slice;

use nginx_sys::{ngx_buf_t, ngx_chain_t, ngx_file_t, ngx_str_t};

use crate::live::zeroed;
use crate::pool::AllocError;
use crate::{Pool, Request, string};

/// A chain of buffers; nginx or this module owns it.
///
/// A chain has no lifetime. nginx's filters take its links and buffers apart, and put them together
/// anew, as they like; what waits in a request's context for the client is nginx's own chain. Whoever
/// makes a chain promises that the links and buffers are there for as long as the chain is used: they
/// are in the pool of the request, which is also how long a chain may be kept.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Chain(*mut ngx_chain_t);

impl Default for Chain {
    fn default() -> Self {
        Self::EMPTY
    }
}

/// One buffer of a chain.
#[derive(Clone, Copy)]
struct Buf(*mut ngx_buf_t);

/// The flags on the buffers of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// The response ends here.
    pub last: bool,
    /// A subrequest, or the output of a module, ends here.
    pub last_in_chain: bool,
    /// Everything up to here must be sent now.
    pub flush: bool,
}

impl Chain {
    /// A chain without buffers.
    pub const EMPTY: Self = Self(ptr::null_mut());

    /// # Safety
    ///
    /// `chain` is null or a chain whose links and buffers outlive every use of the handle.
    pub unsafe fn from_ptr(chain: *mut ngx_chain_t) -> Self {
        Self(chain)
    }

    /// The pointer that nginx's functions take.
    pub fn as_ptr(self) -> *mut ngx_chain_t {
        self.0
    }

    /// Returns whether there are no buffers.
    pub fn is_empty(self) -> bool {
        self.0.is_null()
    }

    fn bufs(self) -> impl Iterator<Item = Buf> {
        let mut link = self.0;
        std::iter::from_fn(move || {
            // SAFETY: null, or a link of a valid chain.
            let current = unsafe { link.as_ref() }?;
            link = current.next;
            Some(Buf(current.buf))
        })
    }

    /// The number of bytes in the chain.
    #[inline]
    pub fn size(self) -> usize {
        self.bufs().map(Buf::size).sum()
    }

    /// The flags of all buffers together.
    pub fn marks(self) -> Marks {
        self.bufs().fold(Marks::default(), |marks, buf| Marks {
            last: marks.last | (buf.raw().last_buf() != 0),
            last_in_chain: marks.last_in_chain | (buf.raw().last_in_chain() != 0),
            flush: marks.flush | (buf.raw().flush() != 0),
        })
    }

    /// Returns whether the chain only tells nginx to send what it has: it has no bytes and does not
    /// end the response.
    pub fn is_flush(self) -> bool {
        self.bufs().take(2).count() == 1
            && self.size() == 0
            && self.marks() == Marks { last: false, last_in_chain: false, flush: true }
    }

    /// Fills `into` with the chain's bytes from `start` on.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, or the chain ends before `into` is full.
    #[inline]
    pub fn read(self, start: usize, into: &mut [u8]) -> io::Result<()> {
        let (mut skip, mut into) = (start, into);
        for buf in self.bufs() {
            if into.is_empty() {
                return Ok(());
            }
            let size = buf.size();
            if skip >= size {
                skip -= size;
                continue;
            }
            let (head, rest) = into.split_at_mut((size - skip).min(into.len()));
            buf.read(skip, head)?;
            (skip, into) = (0, rest);
        }
        if into.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Returns whether the filters after this module's can use the whole chain. A filter that reads
    /// or changes bytes says so when the header passes it, and nginx prepares the bytes before this
    /// module's filter; except for a body that came while this module's filter held the header
    /// back.
    pub fn suits_filters_of(self, request: Request) -> bool {
        let (in_memory, writable) = request.filters_need();
        let suits =
            |buf: Buf| buf.size() == 0 || if writable { buf.is_writable() } else { !in_memory || buf.in_memory() };
        self.bufs().all(suits)
    }

    /// Marks the last buffer as the end of the body.
    pub fn set_last(self) {
        if let Some(mut buf) = self.bufs().last() {
            buf.raw_mut().set_last_buf(1);
        }
    }

    /// Marks the end of a subrequest's body as that of a request's. nginx marks it otherwise, because the
    /// response of the request goes on behind it.
    pub fn end_as_request(self) {
        self.bufs().filter(|buf| buf.raw().last_in_chain() != 0).for_each(|mut buf| buf.raw_mut().set_last_buf(1));
    }

    /// Undoes [`Self::end_as_request`], for the filters behind this module's.
    pub fn end_as_subrequest(self) {
        for mut buf in self.bufs().filter(|buf| buf.raw().last_buf() != 0) {
            let is_empty = buf.size() == 0;
            let raw = buf.raw_mut();
            raw.set_last_buf(0);
            raw.set_last_in_chain(1);
            // nginx reports an empty buffer without flags as an error.
            raw.set_sync((is_empty || raw.sync() != 0).into());
        }
    }

    /// Marks all buffers as sent, so that the code that filled them may use them again.
    pub fn consume(self) {
        self.bufs().for_each(Buf::consume);
    }

    /// Appends new links from the pool to the same buffers.
    pub fn append(&mut self, pool: Pool, other: Self) -> Result<(), AllocError> {
        // SAFETY: both chains are valid; nginx copies the links.
        match unsafe { nginx_sys::ngx_chain_add_copy(pool.as_ptr(), &raw mut self.0, other.0) } as nginx_sys::ngx_int_t
        {
            crate::rc::OK => Ok(()),
            _ => Err(AllocError),
        }
    }

    /// The number of bytes in the first buffer; 0 for an empty chain.
    pub fn first_size(self) -> usize {
        self.bufs().next().map_or(0, Buf::size)
    }

    /// Takes links off the front: as many buffers as have `limit` bytes together, and at least one.
    pub fn split_front(&mut self, limit: usize) -> Self {
        let front = *self;
        let (mut size, mut last) = (0, None::<&mut ngx_chain_t>);
        // SAFETY: null, or a link of a valid chain that this module owns.
        while let Some(link) = unsafe { self.0.as_mut() } {
            size += Buf(link.buf).size();
            if last.is_some() && size > limit {
                break;
            }
            self.0 = link.next;
            last = Some(link);
        }
        if let Some(last) = last {
            last.next = ptr::null_mut();
        }
        front
    }

    /// Gives the links, but not the buffers, back to their pool, and leaves an empty chain.
    pub fn free_links(&mut self, pool: Pool) {
        // SAFETY: null, or a link of a valid chain that nothing else uses.
        while let Some(link) = unsafe { self.0.as_mut() } {
            self.0 = link.next;
            pool.give_back(link);
        }
    }
}

impl Buf {
    /// nginx's structure, to read it: nothing of nginx may run while the reference is held.
    #[inline]
    fn raw(&self) -> &ngx_buf_t {
        // SAFETY: a buffer of a valid chain.
        unsafe { &*self.0 }
    }

    /// As [`Self::raw`], to change it.
    #[inline]
    fn raw_mut(&mut self) -> &mut ngx_buf_t {
        // SAFETY: as above.
        unsafe { &mut *self.0 }
    }

    #[inline]
    fn in_memory(self) -> bool {
        let raw = self.raw();
        raw.temporary() != 0 || raw.memory() != 0 || raw.mmap() != 0
    }

    fn is_writable(self) -> bool {
        self.raw().temporary() != 0
    }

    /// The number of bytes: `last` is not before `pos`, nor `file_last` before `file_pos`.
    #[inline]
    fn size(self) -> usize {
        let raw = self.raw();
        if self.in_memory() {
            raw.last as usize - raw.pos as usize
        } else {
            usize::try_from(raw.file_last - raw.file_pos).unwrap_or_default()
        }
    }

    fn consume(mut self) {
        let raw = self.raw_mut();
        raw.pos = raw.last;
        raw.file_pos = raw.file_last;
    }

    /// Reads from `start` on; the range must lie inside the buffer.
    fn read(self, start: usize, into: &mut [u8]) -> io::Result<()> {
        if self.in_memory() {
            // SAFETY: a buffer in memory has `size` bytes at `pos`.
            let bytes = unsafe { slice::from_raw_parts(self.raw().pos, self.size()) };
            into.copy_from_slice(&bytes[start..][..into.len()]);
            return Ok(());
        }
        // SAFETY: a buffer that is not in memory has an open file.
        let file = file_of(unsafe { &*self.raw().file });
        file.read_exact_at(into, self.raw().file_pos as u64 + start as u64)
    }
}

/// A part of one of nginx's buffers, as a buffer of its own that refers to the same bytes.
///
/// As with [`OwnedBuf`], filters keep the buffer's address longer than they need the bytes, so the
/// buffer lives in the request's pool.
pub struct Part {
    buf: Buf,
    /// The buffer whose last part this is.
    ends: Option<Buf>,
}

impl Part {
    /// A part that does not refer to anything yet.
    pub fn new(pool: Pool) -> Result<Self, AllocError> {
        Ok(Self { buf: Buf(pool.put(zeroed::<ngx_buf_t>())?), ends: None })
    }

    /// Makes this part refer to a range of the first buffer of a chain, and returns it as a chain
    /// of its own. The chain must not be empty, and the range must lie inside the buffer. The
    /// buffer's flags come with its last part.
    pub fn fill(&mut self, pool: Pool, chain: Chain, range: Range<usize>) -> Result<Chain, AllocError> {
        let Some(of) = chain.bufs().next() else { return Ok(Chain::EMPTY) };
        let link = pool.link(self.buf.0)?;
        let ends = range.end == of.size();
        let (buf, whole) = (self.buf.raw_mut(), of.raw());
        *buf = *whole;
        buf.tag = ptr::null_mut();
        buf.shadow = ptr::null_mut();
        if of.in_memory() {
            buf.pos = whole.pos.wrapping_add(range.start);
            buf.last = whole.pos.wrapping_add(range.end);
        }
        if whole.in_file() != 0 {
            buf.file_pos = whole.file_pos + range.start as nginx_sys::off_t;
            buf.file_last = whole.file_pos + range.end as nginx_sys::off_t;
        }
        if !ends {
            buf.set_last_buf(0);
            buf.set_last_in_chain(0);
            buf.set_flush(0);
            buf.set_sync(0);
        }
        self.ends = ends.then_some(of);
        Ok(Chain(link))
    }

    /// Returns whether nginx has sent the whole part.
    pub fn is_sent(&self) -> bool {
        self.buf.size() == 0
    }

    /// Marks the buffer that this part ended as sent: all parts up to this one are.
    pub fn give_back(&mut self) {
        if let Some(buf) = self.ends.take() {
            buf.consume();
        }
    }
}

/// A buffer with bytes of this module, for nginx's filters to send.
///
/// Filters keep the buffer's address longer than they need the bytes: the chunked filter looks at
/// the buffer once more with the next piece. So the buffer itself lives in the request's pool, and
/// only the bytes are freed once they are sent. As a [`Chain`], it is kept no longer than the request.
pub struct OwnedBuf {
    buf: Buf,
    link: NonNull<ngx_chain_t>,
    bytes: Vec<u8>,
}

impl OwnedBuf {
    /// An empty buffer.
    pub fn new(pool: Pool) -> Result<Self, AllocError> {
        let buf = Buf(pool.put(zeroed::<ngx_buf_t>())?);
        let link = pool.put(ngx_chain_t { buf: buf.0, next: ptr::null_mut() })?;
        Ok(Self { buf, link: NonNull::from(link), bytes: Vec::new() })
    }

    /// Fills the buffer, whose earlier bytes must all be sent, and returns it as a chain of its
    /// own.
    pub fn fill(&mut self, bytes: Vec<u8>, marks: Marks) -> Chain {
        self.bytes = bytes;
        let mut buf: ngx_buf_t = zeroed();
        if self.bytes.is_empty() {
            // nginx reports an empty buffer without flags as an error.
            buf.set_sync(u32::from(!(marks.last || marks.last_in_chain || marks.flush)) as _);
        } else {
            buf = memory_buf(string::borrowed(&self.bytes));
            buf.set_memory(1);
        }
        buf.set_last_buf(u32::from(marks.last) as _);
        buf.set_last_in_chain(u32::from(marks.last_in_chain) as _);
        buf.set_flush(u32::from(marks.flush) as _);
        *self.buf.raw_mut() = buf;
        // SAFETY: the link is this module's, in the pool.
        unsafe { self.link.as_mut() }.next = ptr::null_mut();
        Chain(self.link.as_ptr())
    }

    /// The number of bytes that nginx has not sent yet.
    pub fn unsent(&self) -> usize {
        self.buf.size()
    }

    /// Frees the bytes, which must be sent.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        // nginx reads nothing from an empty buffer.
        let buf = self.buf.raw_mut();
        buf.start = ptr::null_mut();
        buf.pos = ptr::null_mut();
        buf.last = ptr::null_mut();
        buf.end = ptr::null_mut();
    }
}

/// A buffer with bytes in memory; the caller says of which kind that is.
pub(crate) fn memory_buf(bytes: ngx_str_t) -> ngx_buf_t {
    let end = bytes.data.wrapping_add(bytes.len);
    ngx_buf_t { start: bytes.data, pos: bytes.data, last: end, end, ..zeroed() }
}

/// The file of a structure of nginx that has an open one. nginx closes it.
pub(crate) fn file_of(file: &ngx_file_t) -> ManuallyDrop<File> {
    // SAFETY: the file is nginx's, and is not closed with this handle.
    ManuallyDrop::new(unsafe { File::from_raw_fd(file.fd) })
}
