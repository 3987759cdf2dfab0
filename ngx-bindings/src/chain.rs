//! `ngx_buf.h`: bodies in nginx's form, which is a chain of buffers in memory or in files.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::ops::Range;
use std::os::fd::FromRawFd;
use std::os::unix::fs::FileExt;

use nginx_sys::{ngx_buf_t, ngx_chain_t};

use crate::pool::AllocError;
use crate::{Pool, Request};

/// A chain of buffers; nginx or this module owns it.
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
    pub const EMPTY: Self = Self(std::ptr::null_mut());

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
        self.bufs().fold(Marks::default(), |marks, Buf(buf)| {
            // SAFETY: a buffer of a valid chain.
            unsafe {
                Marks {
                    last: marks.last | ((*buf).last_buf() != 0),
                    last_in_chain: marks.last_in_chain | ((*buf).last_in_chain() != 0),
                    flush: marks.flush | ((*buf).flush() != 0),
                }
            }
        })
    }

    /// Returns whether the chain only tells nginx to send what it has: it has no bytes and does not
    /// end the response.
    pub fn is_flush(self) -> bool {
        // SAFETY: null, or a link of a valid chain.
        let is_one = unsafe { self.0.as_ref() }.is_some_and(|link| link.next.is_null());
        is_one && self.size() == 0 && self.marks() == Marks { last: false, last_in_chain: false, flush: true }
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
        let (mut size, mut last) = (0, std::ptr::null_mut::<ngx_chain_t>());
        // SAFETY: the links belong to a valid chain that this module owns.
        unsafe {
            while let Some(link) = self.0.as_mut() {
                size += Buf(link.buf).size();
                if !last.is_null() && size > limit {
                    break;
                }
                last = self.0;
                self.0 = link.next;
            }
            if let Some(last) = last.as_mut() {
                last.next = std::ptr::null_mut();
            }
        }
        front
    }

    /// Gives the links, but not the buffers, back to their pool, and leaves an empty chain.
    pub fn free_links(&mut self, pool: Pool) {
        let mut link = std::mem::replace(&mut self.0, std::ptr::null_mut());
        while !link.is_null() {
            // SAFETY: a link of a valid chain that nothing else uses; this does the same as nginx's
            // `ngx_free_chain`.
            unsafe {
                let next = (*link).next;
                (*link).next = (*pool.as_ptr()).chain;
                (*pool.as_ptr()).chain = link;
                link = next;
            }
        }
    }
}

impl Buf {
    fn in_memory(self) -> bool {
        // SAFETY: a buffer of a valid chain.
        unsafe { (*self.0).temporary() != 0 || (*self.0).memory() != 0 || (*self.0).mmap() != 0 }
    }

    fn is_writable(self) -> bool {
        // SAFETY: a buffer of a valid chain.
        unsafe { (*self.0).temporary() != 0 }
    }

    fn size(self) -> usize {
        // SAFETY: a buffer of a valid chain: `last` is not before `pos`, nor `file_last` before
        // `file_pos`.
        unsafe {
            if self.in_memory() {
                (*self.0).last as usize - (*self.0).pos as usize
            } else {
                usize::try_from((*self.0).file_last - (*self.0).file_pos).unwrap_or_default()
            }
        }
    }

    fn consume(self) {
        // SAFETY: a buffer of a valid chain.
        unsafe {
            (*self.0).pos = (*self.0).last;
            (*self.0).file_pos = (*self.0).file_last;
        }
    }

    /// Reads from `start` on; the range must lie inside the buffer.
    fn read(self, start: usize, into: &mut [u8]) -> io::Result<()> {
        // SAFETY: memory buffers hold `size` bytes at `pos`; a file buffer has an open file, which
        // the handle here does not close.
        unsafe {
            if self.in_memory() {
                std::ptr::copy_nonoverlapping((*self.0).pos.add(start), into.as_mut_ptr(), into.len());
                return Ok(());
            }
            let file = ManuallyDrop::new(File::from_raw_fd((*(*self.0).file).fd));
            file.read_exact_at(into, (*self.0).file_pos as u64 + start as u64)
        }
    }
}

/// A part of one of nginx's buffers, as a buffer of its own that refers to the same bytes.
///
/// As with [`OwnedBuf`], filters keep the buffer's address longer than they need the bytes, so the
/// buffer lives in the request's pool.
pub struct Part {
    buf: *mut ngx_buf_t,
    /// The buffer whose last part this is.
    ends: Option<Buf>,
}

impl Part {
    /// A part that does not refer to anything yet.
    pub fn new(pool: Pool) -> Result<Self, AllocError> {
        Ok(Self { buf: pool.alloc::<ngx_buf_t>()?, ends: None })
    }

    /// Makes this part refer to a range of the first buffer of a chain, and returns it as a chain
    /// of its own. The chain must not be empty, and the range must lie inside the buffer. The
    /// buffer's flags come with its last part.
    pub fn fill(&mut self, pool: Pool, chain: Chain, range: Range<usize>) -> Result<Chain, AllocError> {
        let link = pool.alloc_link()?;
        // SAFETY: the chain is valid and has a link; the part's buffer and its link are this
        // module's, in the pool.
        unsafe {
            let of = Buf((*chain.0).buf);
            let ends = range.end == of.size();
            self.buf.copy_from_nonoverlapping(of.0, 1);
            let buf = &mut *self.buf;
            buf.tag = std::ptr::null_mut();
            buf.shadow = std::ptr::null_mut();
            if of.in_memory() {
                buf.pos = (*of.0).pos.add(range.start);
                buf.last = (*of.0).pos.add(range.end);
            }
            if buf.in_file() != 0 {
                buf.file_pos = (*of.0).file_pos + range.start as nginx_sys::off_t;
                buf.file_last = (*of.0).file_pos + range.end as nginx_sys::off_t;
            }
            if !ends {
                buf.set_last_buf(0);
                buf.set_last_in_chain(0);
                buf.set_flush(0);
                buf.set_sync(0);
            }
            self.ends = ends.then_some(of);
            link.write(ngx_chain_t { buf: self.buf, next: std::ptr::null_mut() });
        }
        Ok(Chain(link))
    }

    /// Returns whether nginx has sent the whole part.
    pub fn is_sent(&self) -> bool {
        Buf(self.buf).size() == 0
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
/// only the bytes are freed once they are sent.
pub struct OwnedBuf {
    buf: *mut ngx_buf_t,
    link: *mut ngx_chain_t,
    bytes: Vec<u8>,
}

impl OwnedBuf {
    /// An empty buffer.
    pub fn new(pool: Pool) -> Result<Self, AllocError> {
        let (buf, link) = (pool.alloc::<ngx_buf_t>()?, pool.alloc::<ngx_chain_t>()?);
        // SAFETY: fresh memory; nginx also starts a buffer with all zeros (`ngx_calloc_buf`).
        unsafe {
            buf.write(std::mem::zeroed());
            link.write(ngx_chain_t { buf, next: std::ptr::null_mut() });
        }
        Ok(Self { buf, link, bytes: Vec::new() })
    }

    /// Fills the buffer, whose earlier bytes must all be sent, and returns it as a chain of its
    /// own.
    pub fn fill(&mut self, bytes: Vec<u8>, marks: Marks) -> Chain {
        self.bytes = bytes;
        // SAFETY: the buffer and its link are this module's, in the pool; the bytes stay until they
        // are sent.
        unsafe {
            self.buf.write(std::mem::zeroed());
            let buf = &mut *self.buf;
            if self.bytes.is_empty() {
                // nginx reports an empty buffer without flags as an error.
                buf.set_sync(u32::from(!(marks.last || marks.last_in_chain || marks.flush)) as _);
            } else {
                buf.set_memory(1);
                buf.start = self.bytes.as_mut_ptr();
                buf.pos = buf.start;
                buf.last = buf.start.add(self.bytes.len());
                buf.end = buf.last;
            }
            buf.set_last_buf(u32::from(marks.last) as _);
            buf.set_last_in_chain(u32::from(marks.last_in_chain) as _);
            buf.set_flush(u32::from(marks.flush) as _);
            (*self.link).next = std::ptr::null_mut();
        }
        Chain(self.link)
    }

    /// The number of bytes that nginx has not sent yet.
    pub fn unsent(&self) -> usize {
        Buf(self.buf).size()
    }

    /// Frees the bytes, which must be sent.
    pub fn clear(&mut self) {
        self.bytes = Vec::new();
        // SAFETY: the buffer is this module's; nginx reads nothing from an empty one.
        unsafe {
            (*self.buf).start = std::ptr::null_mut();
            (*self.buf).pos = std::ptr::null_mut();
            (*self.buf).last = std::ptr::null_mut();
            (*self.buf).end = std::ptr::null_mut();
        }
    }
}
