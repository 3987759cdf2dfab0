//! A box that is allocated when it is first used.

use std::cell::OnceCell;

/// A value that is boxed when it is first used. Until then it costs a request one word, and one
/// check at the end.
#[derive(Debug)]
pub struct LazyBox<T>(OnceCell<Box<T>>);

impl<T> Default for LazyBox<T> {
    fn default() -> Self {
        Self(OnceCell::new())
    }
}

impl<T: Default> LazyBox<T> {
    /// Returns the value, if it was ever used.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.get().map(Box::as_ref)
    }

    /// Returns the value, which is made if this is its first use.
    pub fn make(&self) -> &T {
        self.0.get_or_init(Box::default)
    }
}
