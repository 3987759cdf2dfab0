//! `ngx_list.h` as nginx uses it for headers: an entry never moves, because other fields of nginx
//! keep its address.

use nginx_sys::{
    ngx_array_push, ngx_array_t, ngx_list_part_t, ngx_list_push, ngx_list_t, ngx_palloc, ngx_str_t, ngx_table_elt_t,
    ngx_uint_t,
};

use crate::pool::AllocError;
use crate::{Pool, string};

/// A list of header fields.
///
/// nginx uses two conventions. A response field with `hash` 0 counts as removed. A request field
/// must really leave the list, because the code that sends fields upstream does not look at `hash`.
#[derive(Clone, Copy)]
pub struct HeaderList(*mut ngx_list_t);

/// One header field, at its place in the list.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Field(*mut ngx_table_elt_t);

impl Field {
    /// The pointer that other fields of nginx keep.
    pub fn as_ptr(self) -> *mut ngx_table_elt_t {
        self.0
    }

    /// The name as it was received.
    pub fn name<'a>(self) -> &'a [u8] {
        // SAFETY: the field is in a live list; its strings are in the request's pool.
        unsafe { string::bytes((*self.0).key) }
    }

    /// The value.
    pub fn value<'a>(self) -> &'a [u8] {
        // SAFETY: the same.
        unsafe { string::bytes((*self.0).value) }
    }

    /// The name of a request field in lower case, if nginx has made one. Must not be called for a
    /// response field: its `lowcase_key` may be unset memory.
    #[inline]
    pub fn lowcase_request_name<'a>(self) -> Option<&'a [u8]> {
        // SAFETY: the field is in a live list. `lowcase_key` is null or as long as the key, both
        // where nginx has parsed a request and in `push_request_field`.
        unsafe {
            let lowcase = (*self.0).lowcase_key;
            if lowcase.is_null() { None } else { Some(std::slice::from_raw_parts(lowcase, (*self.0).key.len)) }
        }
    }

    /// Returns whether the field has that name, ignoring case. The exact spelling is compared
    /// first, because that is a comparison of whole words, and most senders use it.
    #[inline]
    pub fn is(self, name: &[u8]) -> bool {
        self.name().len() == name.len() && (self.name() == name || self.name().eq_ignore_ascii_case(name))
    }

    /// Does the same as [`Self::is`] for a request field. nginx has its name in lower case, as most
    /// plugins write it.
    #[inline]
    pub fn is_request_field(self, name: &[u8]) -> bool {
        self.name().len() == name.len()
            && (self.lowcase_request_name() == Some(name) || self.name().eq_ignore_ascii_case(name))
    }

    fn removed(self) -> bool {
        // SAFETY: the field is in a live list.
        unsafe { (*self.0).hash == 0 }
    }

    /// Marks a response field as removed.
    pub fn hide(self) {
        // SAFETY: the field is in a live list.
        unsafe { (*self.0).hash = 0 }
    }
}

/// Every entry of a list, including those marked as removed.
struct Entries {
    next: *mut ngx_table_elt_t,
    end: *mut ngx_table_elt_t,
    part: *const ngx_list_part_t,
}

impl Entries {
    /// The entries of that part of a valid list, and of the parts behind it.
    #[inline]
    fn of(part: *const ngx_list_part_t) -> Self {
        // SAFETY: a part has an array of as many entries as it says.
        unsafe {
            let next: *mut ngx_table_elt_t = (*part).elts.cast();
            Self { next, end: next.add((*part).nelts), part }
        }
    }
}

impl Iterator for Entries {
    type Item = Field;

    #[inline]
    fn next(&mut self) -> Option<Field> {
        while self.next == self.end {
            // SAFETY: the list is valid while it is walked.
            let behind = unsafe { (*self.part).next };
            if behind.is_null() {
                return None;
            }
            *self = Self::of(behind);
        }
        let field = Field(self.next);
        // SAFETY: the pointer is not past the end of the part's entries.
        self.next = unsafe { self.next.add(1) };
        Some(field)
    }
}

impl HeaderList {
    /// # Safety
    ///
    /// `list` is a list of `ngx_table_elt_t`, initialized or all zero, that outlives every use of
    /// the handle.
    pub unsafe fn from_ptr(list: *mut ngx_list_t) -> Self {
        Self(list)
    }

    /// The fields that are not marked as removed.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = Field> {
        // SAFETY: the list is valid.
        Entries::of(unsafe { &raw const (*self.0).part }).filter(|field| !field.removed())
    }

    /// The first field of that name, in a response or a request.
    #[inline]
    pub fn find(self, name: &[u8]) -> Option<Field> {
        self.iter().find(|field| field.is(name))
    }

    /// Does the same as [`Self::find`], in a request.
    #[inline]
    pub fn find_request_field(self, name: &[u8]) -> Option<Field> {
        self.iter().find(|field| field.is_request_field(name))
    }

    /// Appends a request field. Name and value are copied into the pool and end in a NUL, as
    /// nginx's own do.
    pub fn push_request_field(self, pool: Pool, name: &[u8], value: &[u8]) -> Result<Field, AllocError> {
        let lowcase = pool.copy(name)?;
        let lowcase = match lowcase.len {
            0 => &mut [][..],
            // SAFETY: fresh memory of that size, which nobody else has.
            len => unsafe { std::slice::from_raw_parts_mut(lowcase.data, len) },
        };
        lowcase.make_ascii_lowercase();
        self.push(pool, name, value, string::hash_key(lowcase).max(1), lowcase.as_mut_ptr())
    }

    /// Does the same as [`Self::push_request_field`] in a response. Of a response field nginx reads
    /// no lower-case name, and of the hash only whether it is 0; nginx's own code sets no more than
    /// that.
    pub fn push_response_field(self, pool: Pool, name: &[u8], value: &[u8]) -> Result<Field, AllocError> {
        self.push(pool, name, value, 1, std::ptr::null_mut())
    }

    fn push(
        self,
        pool: Pool,
        name: &[u8],
        value: &[u8],
        hash: usize,
        lowcase_key: *mut u8,
    ) -> Result<Field, AllocError> {
        self.init(pool)?;
        // One allocation for both.
        let text = pool.alloc_bytes(name.len() + value.len() + 2)?;
        // SAFETY: fresh memory of that size; the list is valid; a pushed element is fresh memory,
        // written whole.
        unsafe {
            let value_at = text.add(name.len() + 1);
            string::write_terminated(text, name);
            string::write_terminated(value_at, value);
            let field: *mut ngx_table_elt_t = ngx_list_push(self.0).cast();
            if field.is_null() {
                return Err(AllocError);
            }
            field.write(ngx_table_elt_t {
                hash: hash as ngx_uint_t,
                key: ngx_str_t { len: name.len(), data: text },
                value: ngx_str_t { len: value.len(), data: value_at },
                lowcase_key,
                #[cfg(nginx_linked_headers)]
                next: std::ptr::null_mut(),
            });
            Ok(Field(field))
        }
    }

    /// Takes all fields of that name out of the list, without moving the others. Returns whether
    /// there were any.
    pub fn take_out(self, pool: Pool, name: &[u8]) -> Result<bool, AllocError> {
        let mut found = false;
        // SAFETY: the loop walks the parts of a valid list.
        unsafe {
            let mut previous: *mut ngx_list_part_t = std::ptr::null_mut();
            let mut part = &raw mut (*self.0).part;
            while !part.is_null() {
                let fields: *mut ngx_table_elt_t = (*part).elts.cast();
                let Some(i) = (0..(*part).nelts).find(|&i| Field(fields.add(i)).is(name)) else {
                    (previous, part) = (part, (*part).next);
                    continue;
                };
                found = true;
                self.cut(pool, part, i)?;
                (previous, part) = if i > 0 { (part, (*part).next) } else { (previous, self.unlink(previous, part)) };
            }
        }
        if found {
            self.seal()?;
        }
        Ok(found)
    }

    /// Takes all fields out of the list.
    pub fn clear(self, pool: Pool) -> Result<(), AllocError> {
        self.init(pool)?;
        // SAFETY: the list is valid.
        unsafe {
            (*self.0).part.nelts = 0;
            (*self.0).part.next = std::ptr::null_mut();
            (*self.0).last = &raw mut (*self.0).part;
        }
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
        added: Option<Field>,
    ) -> Result<(), AllocError> {
        let fields = self.iter().filter(|field| field.is(name));
        // SAFETY: by this function's contract.
        unsafe {
            match (repeated, added) {
                (true, None) => index_array(pool, fields, slot.cast()),
                (true, Some(field)) => push_entry(pool, field, slot.cast()),
                (false, None) => index_pointer(fields, slot.cast()),
                (false, Some(field)) => link_last(field, slot.cast()),
            }
        }
    }

    /// Takes the field at `i` out of its part. The fields behind it become a part of their own.
    ///
    /// # Safety
    ///
    /// `part` is a part of this list, with more than `i` fields.
    unsafe fn cut(self, pool: Pool, part: *mut ngx_list_part_t, i: usize) -> Result<(), AllocError> {
        // SAFETY: by this function's contract; the new part is fresh memory.
        unsafe {
            let (list, count) = (self.0, (*part).nelts);
            if i + 1 < count {
                let rest: *mut ngx_list_part_t = pool.alloc::<ngx_list_part_t>()?;
                rest.write(ngx_list_part_t {
                    elts: (*part).elts.cast::<ngx_table_elt_t>().add(i + 1).cast(),
                    nelts: count - i - 1,
                    next: (*part).next,
                });
                (*part).next = rest;
                if (*list).last == part {
                    (*list).last = rest;
                }
            }
            (*part).nelts = i;
        }
        Ok(())
    }

    /// Takes an empty part out of the chain, because nginx's own loops do not expect one in the
    /// middle. Returns the address of the next part; null if there is none.
    ///
    /// # Safety
    ///
    /// `part` is a part of this list, `previous` the one before it or null.
    unsafe fn unlink(self, previous: *mut ngx_list_part_t, part: *mut ngx_list_part_t) -> *mut ngx_list_part_t {
        // SAFETY: by this function's contract.
        unsafe {
            let list = self.0;
            let next = (*part).next;
            if !previous.is_null() {
                (*previous).next = next;
                if (*list).last == part {
                    (*list).last = previous;
                }
                return next;
            }
            if next.is_null() {
                return next;
            }
            (*list).part = *next;
            if (*list).last == next {
                (*list).last = &raw mut (*list).part;
            }
            part
        }
    }

    /// Initializes the list if nginx has not. nginx makes the list of request fields after it has
    /// read a request line, so there is none for HTTP/0.9, nor for a request whose line it refused.
    fn init(self, pool: Pool) -> Result<(), AllocError> {
        // SAFETY: the list is valid, or all zero.
        unsafe {
            let list = self.0;
            if !(*list).last.is_null() {
                return Ok(());
            }
            list.write(ngx_list_t {
                last: &raw mut (*list).part,
                part: ngx_list_part_t { elts: std::ptr::null_mut(), nelts: 0, next: std::ptr::null_mut() },
                size: size_of::<ngx_table_elt_t>(),
                nalloc: 0,
                pool: pool.as_ptr(),
            });
        }
        self.seal()
    }

    /// Makes the next push start a new part, because a cut part has no room behind its last
    /// element.
    fn seal(self) -> Result<(), AllocError> {
        const ROOM: usize = 4;
        // SAFETY: the list is valid; nginx takes the last part as full when its length equals
        // `nalloc`.
        unsafe {
            let list = self.0;
            let last = (*list).last;
            if (*last).nelts > 0 {
                (*list).nalloc = (*last).nelts;
                return Ok(());
            }
            let elts = ngx_palloc((*list).pool, ROOM * size_of::<ngx_table_elt_t>());
            if elts.is_null() {
                return Err(AllocError);
            }
            (*last).elts = elts;
            (*list).nalloc = ROOM;
            Ok(())
        }
    }
}

/// # Safety
///
/// `link` is a pointer of nginx to a field, or null.
unsafe fn index_pointer(
    fields: impl Iterator<Item = Field>,
    mut link: *mut *mut ngx_table_elt_t,
) -> Result<(), AllocError> {
    // SAFETY: by this function's contract; fields do not move.
    unsafe {
        *link = std::ptr::null_mut();
        for field in fields {
            *link = field.as_ptr();
            if !advance(&mut link, field) {
                break;
            }
        }
    }
    Ok(())
}

/// # Safety
///
/// `link` is a pointer of nginx to a field, or null; `field` has the same name, and is the last of
/// its list.
unsafe fn link_last(field: Field, link: *mut *mut ngx_table_elt_t) -> Result<(), AllocError> {
    #[cfg_attr(not(nginx_linked_headers), expect(unused_mut))]
    let mut end = link;
    // SAFETY: by this function's contract; only fields of live lists are linked.
    unsafe {
        #[cfg(nginx_linked_headers)]
        while !(*end).is_null() {
            end = &raw mut (**end).next;
        }
        if (*end).is_null() || Field(*end).removed() {
            *end = field.as_ptr();
        }
    }
    Ok(())
}

/// Moves to where the next field of the same name is linked; returns false where nginx keeps only
/// the first.
///
/// # Safety
///
/// `field` is a field of a live list.
unsafe fn advance(link: &mut *mut *mut ngx_table_elt_t, field: Field) -> bool {
    #[cfg(nginx_linked_headers)]
    // SAFETY: by this function's contract.
    unsafe {
        *link = &raw mut (*field.as_ptr()).next;
        **link = std::ptr::null_mut();
    }
    let _ = (link, field);
    cfg!(nginx_linked_headers)
}

/// # Safety
///
/// `array` is an array of pointers to fields, initialized or all zero.
unsafe fn index_array(
    pool: Pool,
    mut fields: impl Iterator<Item = Field>,
    array: *mut ngx_array_t,
) -> Result<(), AllocError> {
    // SAFETY: by this function's contract.
    unsafe {
        (*array).nelts = 0;
        fields.try_for_each(|field| push_entry(pool, field, array))
    }
}

/// # Safety
///
/// The same as for [`index_array`].
unsafe fn push_entry(pool: Pool, field: Field, array: *mut ngx_array_t) -> Result<(), AllocError> {
    // SAFETY: by this function's contract.
    unsafe {
        if (*array).elts.is_null() {
            (*array).elts = pool.alloc::<*mut ngx_table_elt_t>()?.cast();
            (*array).size = size_of::<*mut ngx_table_elt_t>();
            (*array).nalloc = 1;
            (*array).pool = pool.as_ptr();
        }
        let entry: *mut *mut ngx_table_elt_t = ngx_array_push(array).cast();
        if entry.is_null() {
            return Err(AllocError);
        }
        *entry = field.as_ptr();
    }
    Ok(())
}
