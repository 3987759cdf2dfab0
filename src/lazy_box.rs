//! A box that is made when it is first used.

use std::cell::OnceCell;

/// What few requests need: until it is first used, it costs a request one word, and its end one look.
#[derive(Debug)]
pub struct LazyBox<T>(OnceCell<Box<T>>);

impl<T> Default for LazyBox<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T: Default> LazyBox<T> {
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
