//! Header fields that hold for a body as it came, and not for one that plugins changed.
//!
//! nginx's own filters do the same: `sub_filter` drops Last-Modified and ETag, `gzip` makes the ETag a weak one.

use std::cell::Cell;

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use ngx_bindings::pool::AllocError;

/// The bytes of the body, its version, its place in a larger one. What a plugin says of them itself, holds for what it makes.
const FIELDS: [&[u8]; 8] = [
    b"content-md5",
    b"content-digest",
    b"repr-digest",
    b"digest",
    b"accept-ranges",
    b"etag",
    b"last-modified",
    b"content-range",
];

/// What is left of those where a plugin may yet change the body: the weak ones.
const HOLD_ROUGHLY: [&[u8]; 3] = [b"etag", b"last-modified", b"content-range"];

/// Which of the fields plugins have set.
#[derive(Default)]
pub struct Validators {
    set_by_plugins: Cell<u8>,
}

impl Validators {
    /// A plugin is about to set a field; to what it is already, is no news.
    pub fn note(&self, request: Request, name: &[u8], value: &[u8]) {
        self.note_all(request, [(name, value)].into_iter());
    }

    /// As [`Self::note`], with many. The response's own field of a name is looked for once.
    pub fn note_all<'a>(&self, request: Request, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        let mut present = [None; FIELDS.len()];
        for (name, value) in fields {
            let Some(index) = FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name)) else {
                continue;
            };
            let find = || request.headers_out().find(name).map(Field::value);
            if *present[index].get_or_insert_with(find) != Some(value) {
                self.set_by_plugins.set(self.set_by_plugins.get() | 1 << index);
            }
        }
    }

    /// The body is not what it was. Of a part of one, the place holds if the length does.
    pub fn drop_changed(&self, request: Request, same_length: bool) -> Result<(), AllocError> {
        self.drop(request, |field| !(same_length && field == b"content-range"))
    }

    /// The body may yet become another, when the header is gone.
    pub fn weaken(&self, request: Request) -> Result<(), AllocError> {
        if !self.is_own(b"etag") {
            request.weaken_etag();
        }
        self.drop(request, |field| !HOLD_ROUGHLY.contains(&field))
    }

    fn drop(&self, request: Request, holds_no_longer: impl Fn(&[u8]) -> bool) -> Result<(), AllocError> {
        let mut dropped = FIELDS.iter().filter(|field| holds_no_longer(field) && !self.is_own(field));
        dropped.try_for_each(|field| request.remove_header_out(field))
    }

    fn is_own(&self, name: &[u8]) -> bool {
        FIELDS.iter().position(|field| *field == name).is_some_and(|index| self.set_by_plugins.get() & 1 << index != 0)
    }
}
