//! `ngx_list.h` as nginx uses it for headers: an entry never moves, because other fields of nginx
//! keep its address.

use std::mem::{MaybeUninit, offset_of};
use std::ptr;
use std::slice;

use nginx_sys::{ngx_array_t, ngx_list_part_t, ngx_list_push, ngx_list_t, ngx_palloc, ngx_table_elt_t, ngx_uint_t};

use crate::live::Live;
use crate::pool::AllocError;
use crate::{Pool, Request, array, hash, string};

/// A list of header fields, of a request that `'r` does not outlive.
///
/// nginx uses two conventions. A response field with `hash` 0 counts as removed. A request field
/// must really leave the list, because the code that sends fields upstream does not look at `hash`.
#[derive(Clone, Copy)]
pub struct HeaderList<'r>(Live<'r, ngx_list_t>);

/// One header field, at its place in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Field<'r>(Live<'r, ngx_table_elt_t>);

impl<'r> Field<'r> {
    /// # Safety
    ///
    /// `field` is null, or in the list of a request that the handle does not outlive.
    #[inline]
    pub(crate) unsafe fn from_ptr(field: *mut ngx_table_elt_t) -> Option<Self> {
        // SAFETY: by this function's contract.
        unsafe { Live::new(field) }.map(Self)
    }

    /// nginx's structure, to read it as [`Live`] says.
    #[inline]
    fn raw(self) -> &'r ngx_table_elt_t {
        self.0.get()
    }

    /// The name as it was received.
    #[inline]
    pub fn name(self) -> &'r [u8] {
        self.raw().key.as_bytes()
    }

    /// The value.
    #[inline]
    pub fn value(self) -> &'r [u8] {
        self.raw().value.as_bytes()
    }

    /// The name of a request field in lower case, if nginx has made one. Must not be called for a
    /// response field: its `lowcase_key` may be unset memory.
    #[inline]
    pub fn lowcase_request_name(self) -> Option<&'r [u8]> {
        let lowcase = self.raw().lowcase_key;
        // SAFETY: null, or as long as the key, both where nginx has parsed a request and in
        // `push_request_field`.
        (!lowcase.is_null()).then(|| unsafe { slice::from_raw_parts(lowcase, self.raw().key.len) })
    }

    /// Returns whether the field has that name, ignoring case. The exact spelling is compared
    /// first, because that is a comparison of whole words, and most senders use it.
    #[inline]
    pub fn is(self, name: &[u8]) -> bool {
        self.name().len() == name.len() && (self.name() == name || is_same(self.name(), name))
    }

    /// Does the same as [`Self::is`] for a request field. nginx has its name in lower case, as most
    /// plugins write it.
    #[inline]
    pub fn is_request_field(self, name: &[u8]) -> bool {
        self.name().len() == name.len() && (self.lowcase_request_name() == Some(name) || is_same(self.name(), name))
    }

    #[inline]
    fn removed(self) -> bool {
        self.raw().hash == 0
    }

    /// Where nginx links the next field of the same name.
    #[cfg(nginx_linked_headers)]
    fn link(&mut self) -> &mut Option<Self> {
        // SAFETY: null or a field, as a handle is without its wrapping.
        unsafe { &mut *(&raw mut self.0.get_mut().next).cast() }
    }

    /// Marks a response field as removed.
    pub fn hide(mut self) {
        self.0.get_mut().hash = 0;
    }
}

/// Compares names of one length, ignoring case. A function of its own, because the loops over a
/// list's fields hardly ever need it.
#[cold]
fn is_same(name: &[u8], other: &[u8]) -> bool {
    name.eq_ignore_ascii_case(other)
}

/// Every entry of a list, including those marked as removed.
struct Entries<'r> {
    next: *mut ngx_table_elt_t,
    end: *mut ngx_table_elt_t,
    /// The next part.
    behind: Option<Part<'r>>,
}

impl<'r> Entries<'r> {
    /// The entries of that part of a valid list, and of the parts behind it.
    #[inline]
    fn of(part: Part<'r>) -> Self {
        let next: *mut ngx_table_elt_t = part.0.get().elts.cast();
        Self { next, end: next.wrapping_add(part.0.get().nelts), behind: part.next() }
    }
}

impl<'r> Iterator for Entries<'r> {
    type Item = Field<'r>;

    #[inline]
    fn next(&mut self) -> Option<Field<'r>> {
        while self.next == self.end {
            *self = Self::of(self.behind?);
        }
        // SAFETY: a part has as many fields as it says.
        let field = Field(unsafe { Live::of(self.next) });
        self.next = self.next.wrapping_add(1);
        Some(field)
    }

    /// Part by part: whatever counts fields does so for each request.
    #[inline]
    fn fold<B, F: FnMut(B, Field<'r>) -> B>(mut self, init: B, mut add: F) -> B {
        let mut folded = init;
        loop {
            while self.next != self.end {
                // SAFETY: a part has as many fields as it says.
                folded = add(folded, Field(unsafe { Live::of(self.next) }));
                self.next = self.next.wrapping_add(1);
            }
            match self.behind {
                Some(part) => self = Self::of(part),
                None => return folded,
            }
        }
    }
}

impl<'r> HeaderList<'r> {
    /// The list of fields at that offset in a request: nginx has initialized it, or left it all zero.
    ///
    /// # Safety
    ///
    /// There is a list of `ngx_table_elt_t` at that offset.
    #[inline]
    pub(crate) unsafe fn at(request: Request<'r>, offset: usize) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(request.as_ptr().wrapping_byte_add(offset).cast()) })
    }

    /// nginx's structure, to read it as [`Live`] says.
    #[inline]
    fn raw(self) -> &'r ngx_list_t {
        self.0.get()
    }

    /// As [`Self::raw`], to change it.
    #[inline]
    fn raw_mut(&mut self) -> &mut ngx_list_t {
        self.0.get_mut()
    }

    /// The fields that are not marked as removed.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Field<'r>> {
        Entries::of(self.first_part()).filter(|field| !field.removed())
    }

    /// The first field of that name, in a response or a request.
    #[inline]
    pub fn find(self, name: &[u8]) -> Option<Field<'r>> {
        self.iter().find(|field| field.is(name))
    }

    /// Does the same as [`Self::find`], in a request.
    #[inline]
    pub fn find_request_field(self, name: &[u8]) -> Option<Field<'r>> {
        self.iter().find(|field| field.is_request_field(name))
    }

    /// Appends a request field. Name and value are copied into the pool and end in a NUL, as
    /// nginx's own do.
    pub fn push_request_field(self, pool: Pool, name: &[u8], value: &[u8]) -> Result<Field<'r>, AllocError> {
        let lowcase = pool.alloc_bytes(name.len())?.write_copy_of_slice(name);
        lowcase.make_ascii_lowercase();
        self.push(pool, name, value, hash::key(lowcase).max(1), lowcase.as_mut_ptr())
    }

    /// Does the same as [`Self::push_request_field`] in a response. Of a response field nginx reads
    /// no lower-case name, and of the hash only whether it is 0; nginx's own code sets no more than
    /// that.
    pub fn push_response_field(self, pool: Pool, name: &[u8], value: &[u8]) -> Result<Field<'r>, AllocError> {
        self.push(pool, name, value, 1, std::ptr::null_mut())
    }

    fn push(
        self,
        pool: Pool,
        name: &[u8],
        value: &[u8],
        hash: usize,
        lowcase_key: *mut u8,
    ) -> Result<Field<'r>, AllocError> {
        self.init(pool)?;
        // One allocation for both.
        let text = pool.alloc_bytes(name.len() + value.len() + 2)?;
        let (name_at, value_at) = text.split_at_mut(name.len() + 1);
        let (key, value) = (string::write_terminated(name_at, name), string::write_terminated(value_at, value));
        self.push_field(ngx_table_elt_t {
            hash: hash as ngx_uint_t,
            key,
            value,
            lowcase_key,
            #[cfg(nginx_linked_headers)]
            next: ptr::null_mut(),
        })
    }

    /// Appends a field to a list that is initialized.
    fn push_field(self, new: ngx_table_elt_t) -> Result<Field<'r>, AllocError> {
        // SAFETY: the list is valid, and one of fields.
        let field: *mut MaybeUninit<ngx_table_elt_t> = unsafe { ngx_list_push(self.0.as_ptr()) }.cast();
        // SAFETY: null, or fresh memory for a field, in the request's pool.
        let field: &'r mut MaybeUninit<ngx_table_elt_t> = unsafe { field.as_mut() }.ok_or(AllocError)?;
        Ok(Field(field.write(new).into()))
    }

    /// Copies the fields into a list of its own, at the place of one whose parts another list has, too. The
    /// texts stay where they are: they do not change.
    pub(crate) fn copy(mut self, pool: Pool) -> Result<(), AllocError> {
        let fields: Vec<_> = self.iter().map(|field| *field.raw()).collect();
        self.raw_mut().last = ptr::null_mut();
        self.init(pool)?;
        fields.into_iter().try_for_each(|field| self.push_field(field).map(drop))
    }

    /// Takes all fields of that name out of the list, without moving the others. Returns whether
    /// there were any.
    pub fn take_out(self, pool: Pool, name: &[u8]) -> Result<bool, AllocError> {
        let mut found = false;
        let (mut previous, mut next) = (None, Some(self.first_part()));
        while let Some(part) = next {
            match part.fields().position(|field| field.is(name)) {
                None => (previous, next) = (next, part.next()),
                Some(i) => {
                    found = true;
                    self.cut(pool, part, i)?;
                    if i > 0 {
                        (previous, next) = (next, part.next());
                    } else {
                        next = self.unlink(previous, part);
                    }
                }
            }
        }
        if found {
            self.seal()?;
        }
        Ok(found)
    }

    /// Takes all fields out of the list.
    pub fn clear(mut self, pool: Pool) -> Result<(), AllocError> {
        self.init(pool)?;
        let first = self.first_part().0.as_ptr();
        let list = self.raw_mut();
        list.part.nelts = 0;
        list.part.next = ptr::null_mut();
        list.last = first;
        self.seal()
    }

    /// Points nginx's own field at `slot` at the fields of `name` in the list. It points at the
    /// first field, from which nginx 1.23 and newer link the others; or, if `repeated`, it becomes
    /// an array of them. If the list was indexed before `added` was pushed, `added` is the only new
    /// field, and the list is not walked.
    ///
    /// # Safety
    ///
    /// `slot` is nginx's own field for `name` in the request: a pointer to a field, or if
    /// `repeated` an array of such pointers.
    pub(crate) unsafe fn index(
        self,
        pool: Pool,
        name: &[u8],
        slot: *mut u8,
        repeated: bool,
        added: Option<Field<'r>>,
    ) -> Result<(), AllocError> {
        let fields = self.iter().filter(|field| field.is(name));
        if repeated {
            // SAFETY: by this function's contract.
            let array = unsafe { &mut *slot.cast::<ngx_array_t>() };
            return match added {
                None => index_array(pool, fields, array),
                Some(field) => push_entry(pool, field, array),
            };
        }
        // SAFETY: by this function's contract, null or a field, as a handle is without its wrapping.
        let pointer = unsafe { &mut *slot.cast::<Option<Field<'r>>>() };
        match added {
            None => index_pointer(fields, pointer),
            Some(field) => link_last(field, pointer),
        }
        Ok(())
    }

    /// Takes the field at `i` out of its part. The fields behind it become a part of their own.
    fn cut(mut self, pool: Pool, mut part: Part<'r>, i: usize) -> Result<(), AllocError> {
        let raw = part.0.get_mut();
        if i + 1 < raw.nelts {
            let rest = pool.put(ngx_list_part_t {
                elts: raw.elts.cast::<ngx_table_elt_t>().wrapping_add(i + 1).cast(),
                nelts: raw.nelts - i - 1,
                next: raw.next,
            })?;
            raw.next = rest;
            raw.nelts = i;
            if self.is_last(part) {
                self.raw_mut().last = part.0.get().next;
            }
        }
        part.0.get_mut().nelts = i;
        Ok(())
    }

    /// Takes an empty part out of the chain, because nginx's own loops do not expect one in the
    /// middle. `previous` is the part before it. Returns the part that follows.
    fn unlink(mut self, previous: Option<Part<'r>>, part: Part<'r>) -> Option<Part<'r>> {
        let next = part.next();
        match (previous, next) {
            (Some(mut previous), _) => {
                previous.0.get_mut().next = part.0.get().next;
                if self.is_last(part) {
                    self.raw_mut().last = previous.0.as_ptr();
                }
                next
            }
            (None, None) => None,
            (None, Some(next)) => {
                self.raw_mut().part = *next.0.get();
                if self.is_last(next) {
                    self.raw_mut().last = self.first_part().0.as_ptr();
                }
                Some(part)
            }
        }
    }

    /// The first part, which is in the list itself.
    #[inline]
    fn first_part(self) -> Part<'r> {
        // SAFETY: a part of the list.
        Part(unsafe { Live::of(self.0.as_ptr().wrapping_byte_add(offset_of!(ngx_list_t, part)).cast()) })
    }

    fn is_last(self, part: Part<'_>) -> bool {
        self.raw().last == part.0.as_ptr()
    }

    /// Initializes the list if nginx has not. nginx makes the list of request fields after it has
    /// read a request line, so there is none for HTTP/0.9, nor for a request whose line it refused.
    fn init(mut self, pool: Pool) -> Result<(), AllocError> {
        let first = self.first_part().0.as_ptr();
        let list = self.raw_mut();
        if !list.last.is_null() {
            return Ok(());
        }
        list.part = ngx_list_part_t { elts: ptr::null_mut(), nelts: 0, next: ptr::null_mut() };
        list.last = first;
        list.size = size_of::<ngx_table_elt_t>();
        list.nalloc = 0;
        list.pool = pool.as_ptr();
        self.seal()
    }

    /// Makes the next push start a new part, because a cut part has no room behind its last
    /// element.
    fn seal(mut self) -> Result<(), AllocError> {
        const ROOM: usize = 4;
        // SAFETY: a list that is initialized has a last part.
        let last = unsafe { &mut *self.raw().last };
        // nginx takes the last part as full when its length equals `nalloc`.
        self.raw_mut().nalloc = if last.nelts > 0 {
            last.nelts
        } else {
            // SAFETY: a list has a pool.
            let elts = unsafe { ngx_palloc(self.raw().pool, ROOM * size_of::<ngx_table_elt_t>()) };
            if elts.is_null() {
                return Err(AllocError);
            }
            last.elts = elts;
            ROOM
        };
        Ok(())
    }
}

/// A part of a list: the fields of an array.
#[derive(Clone, Copy)]
struct Part<'r>(Live<'r, ngx_list_part_t>);

impl<'r> Part<'r> {
    #[inline]
    fn next(self) -> Option<Self> {
        // SAFETY: null, or a part of the same list.
        unsafe { Live::new(self.0.get().next) }.map(Self)
    }

    /// The fields of this part alone.
    fn fields(self) -> impl Iterator<Item = Field<'r>> {
        Entries { behind: None, ..Entries::of(self) }
    }
}

/// Makes nginx's pointer point at the first field, from which the others are linked.
#[cfg(nginx_linked_headers)]
fn index_pointer<'r>(fields: impl Iterator<Item = Field<'r>>, pointer: &mut Option<Field<'r>>) {
    let mut end = pointer;
    *end = None;
    for field in fields {
        end = end.insert(field).link();
        *end = None;
    }
}

/// Makes nginx's pointer point at the first field.
#[cfg(not(nginx_linked_headers))]
fn index_pointer<'r>(mut fields: impl Iterator<Item = Field<'r>>, pointer: &mut Option<Field<'r>>) {
    *pointer = fields.next();
}

/// Links a field, the last one of its name in the list, behind the fields that nginx's pointer
/// leads to.
fn link_last<'r>(field: Field<'r>, pointer: &mut Option<Field<'r>>) {
    #[cfg(nginx_linked_headers)]
    let pointer = end_of_links(pointer);
    if pointer.is_none_or(Field::removed) {
        *pointer = Some(field);
    }
}

#[cfg(nginx_linked_headers)]
fn end_of_links<'l, 'r>(mut end: &'l mut Option<Field<'r>>) -> &'l mut Option<Field<'r>> {
    while let Some(linked) = end {
        end = linked.link();
    }
    end
}

/// Makes nginx's array the pointers to some fields. The array is initialized, or all zero.
fn index_array<'r>(
    pool: Pool,
    mut fields: impl Iterator<Item = Field<'r>>,
    array: &mut ngx_array_t,
) -> Result<(), AllocError> {
    array.nelts = 0;
    fields.try_for_each(|field| push_entry(pool, field, array))
}

/// Appends a field to an array as [`index_array`] makes it.
fn push_entry(pool: Pool, field: Field, array: &mut ngx_array_t) -> Result<(), AllocError> {
    if array.elts.is_null() {
        let first: &mut *mut ngx_table_elt_t = pool.put(ptr::null_mut())?;
        array.elts = (&raw mut *first).cast();
        array.size = size_of_val(first);
        array.nalloc = 1;
        array.pool = pool.as_ptr();
    }
    // SAFETY: nginx, or the lines above, made it an array of pointers to fields.
    unsafe { array::push(array, field.0.as_ptr()) }
}
