//! Header fields that describe a body as it came, and are wrong for one that plugins changed.
//!
//! nginx's own filters do the same: `sub_filter` drops Last-Modified and ETag, and `gzip` makes the
//! ETag a weak one.

use std::cell::Cell;

use ngx_bindings::Request;
use ngx_bindings::headers::Field;
use ngx_bindings::pool::AllocError;

/// Fields about the bytes of the body, its version, or its place in a larger one. A field that a
/// plugin sets itself is kept, because it describes the body that the plugin makes.
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

/// The fields that stay, in their weak form, while a plugin may still change the body.
const HOLD_ROUGHLY: [&[u8]; 3] = [b"etag", b"last-modified", b"content-range"];

/// Which of these fields plugins have set.
#[derive(Default)]
pub struct Validators {
    set_by_plugins: Cell<u8>,
}

impl Validators {
    /// Notes that a plugin is about to set a field. It is not noted if the value stays the same.
    #[inline(always)]
    pub fn note(&self, request: Request, name: &[u8], value: &[u8]) {
        if index_of(name).is_some() {
            self.note_all(request, [(name, value)].into_iter());
        }
    }

    /// As [`Self::note`], for many fields. The response's own field of a name is searched once.
    pub fn note_all<'a>(&self, request: Request, fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        let mut present = [None; FIELDS.len()];
        for (name, value) in fields {
            let Some(index) = index_of(name) else { continue };
            let find = || request.headers_out().find(name).map(Field::value);
            if *present[index].get_or_insert_with(find) != Some(value) {
                self.set_by_plugins.set(self.set_by_plugins.get() | 1 << index);
            }
        }
    }

    /// Drops the fields that are wrong for a changed body. `content-range` stays if the length is
    /// the same.
    pub fn drop_changed(&self, request: Request, same_length: bool) -> Result<(), AllocError> {
        self.drop(request, |field| !(same_length && field == b"content-range"))
    }

    /// Weakens the fields of a response whose body may still change after the header is sent.
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

/// The index of a name in [`FIELDS`]. Nearly always its length says that it is none of these.
#[inline]
fn index_of(name: &[u8]) -> Option<usize> {
    matches!(name.len(), 4 | 6 | 11 | 13 | 14).then(|| index_of_one(name)).flatten()
}

fn index_of_one(name: &[u8]) -> Option<usize> {
    FIELDS.iter().position(|field| field.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_found_by_its_name_in_any_case() {
        for (index, field) in FIELDS.iter().enumerate() {
            assert_eq!(index_of(field), Some(index));
            assert_eq!(index_of(&field.to_ascii_uppercase()), Some(index));
        }
        assert_eq!((index_of(b""), index_of(b"x-etag"), index_of(b"etag:")), (None, None, None));
    }
}
