//! What few requests need.

use std::cell::OnceCell;

/// Made when it is first used: until then it costs a request one word, and its end one look.
#[derive(Debug)]
pub struct Rarely<T>(OnceCell<Box<T>>);

impl<T> Default for Rarely<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T: Default> Rarely<T> {
    /// What there is, if it was ever used.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.get().map(Box::as_ref)
    }

    /// To put something into.
    pub fn make(&self) -> &T {
        self.0.get_or_init(Box::default)
    }
}
