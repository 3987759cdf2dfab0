//! A list whose items never move, so that one can be added while others are in use.

use std::array;
use std::cell::{Cell, OnceCell};

/// Items that cost no allocation: enough for one or two global rules and the plugins of a route.
const ROW: usize = 4;

/// Items that stay where they are.
pub struct Rows<T> {
    first: Row<T>,
    len: Cell<usize>,
}

/// A fixed number of items, filled from the left, and the next row.
struct Row<T> {
    items: [OnceCell<T>; ROW],
    next: OnceCell<Box<Self>>,
}

impl<T> Default for Rows<T> {
    #[inline]
    fn default() -> Self {
        Self { first: Row::default(), len: Cell::default() }
    }
}

impl<T> Default for Row<T> {
    #[inline]
    fn default() -> Self {
        // A constant would be copied with all its bytes, of which hardly one counts.
        Self { items: array::from_fn(|_| OnceCell::new()), next: OnceCell::new() }
    }
}

impl<T> Rows<T> {
    /// Adds the item that `make` makes for an index.
    pub fn push(&self, make: impl FnOnce(usize) -> T) -> &T {
        let index = self.len.replace(self.len.get() + 1);
        let mut row = &self.first;
        for _ in 0..index / ROW {
            row = row.next.get_or_init(Box::default);
        }
        row.items[index % ROW].get_or_init(|| make(index))
    }

    /// The number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// The items from an index on.
    #[inline]
    pub fn starting_at(&self, first: usize) -> impl Iterator<Item = &T> {
        Iter { row: self.row(first), position: first % ROW }
    }

    /// The item at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.row(index)?.items[index % ROW].get()
    }

    /// The row that an index lies in.
    #[inline]
    fn row(&self, index: usize) -> Option<&Row<T>> {
        let mut row = &self.first;
        for _ in 0..index / ROW {
            row = row.next.get()?;
        }
        Some(row)
    }
}

struct Iter<'a, T> {
    row: Option<&'a Row<T>>,
    position: usize,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        if self.position == ROW {
            *self = Self { row: self.row?.next.get().map(Box::as_ref), position: 0 };
        }
        let item = self.row?.items[self.position].get()?;
        self.position += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(len: usize) -> Rows<usize> {
        let rows = Rows::default();
        (0..len).for_each(|_| _ = rows.push(|index| index));
        rows
    }

    #[test]
    fn items_have_their_indexes_and_their_order() {
        for len in 0..3 * ROW {
            let rows = rows(len);
            assert_eq!(rows.len(), len);
            assert!((0..len).all(|index| rows.get(index) == Some(&index)));
            assert_eq!((rows.get(len), rows.get(len + ROW)), (None, None));
            for first in 0..=len + ROW {
                assert!(rows.starting_at(first).copied().eq(first..len.max(first)), "{len} from {first}");
            }
        }
    }

    #[test]
    fn an_item_stays_where_it_is_while_others_come() {
        let rows = rows(1);
        let first: *const usize = rows.get(0).expect("there is one");
        let seen = rows.starting_at(0).take(3 * ROW).inspect(|_| _ = rows.push(|index| index)).count();
        assert_eq!(seen, 3 * ROW, "what is added behind is seen");
        assert!(std::ptr::eq(first, rows.get(0).expect("it is still there")));
    }
}
