//! A list whose items never move, so that one can be added while others are in use.

use std::cell::{Cell, OnceCell, UnsafeCell};
use std::mem::MaybeUninit;
use std::ptr;

/// Items that cost no allocation: enough for one or two global rules and the plugins of a route.
const ROW: usize = 4;

/// Items that stay where they are.
pub struct Rows<T> {
    first: Row<T>,
    /// The places before this number have items.
    len: Cell<usize>,
    /// Whether an item is being made.
    is_making: Cell<bool>,
}

/// A fixed number of places, filled from the left, and the next row.
struct Row<T> {
    places: [Place<T>; ROW],
    next: OnceCell<Box<Self>>,
}

/// A place for an item, which is written once.
type Place<T> = UnsafeCell<MaybeUninit<T>>;

impl<T> Default for Rows<T> {
    #[inline]
    fn default() -> Self {
        Self { first: Row::default(), len: Cell::default(), is_making: Cell::default() }
    }
}

impl<T> Default for Row<T> {
    #[inline]
    fn default() -> Self {
        Self { places: [const { UnsafeCell::new(MaybeUninit::uninit()) }; ROW], next: OnceCell::new() }
    }
}

impl<T> Rows<T> {
    /// Adds the item that `make` makes for an index.
    #[inline]
    pub fn push(&self, make: impl FnOnce(usize) -> T) -> &T {
        let index = self.len.get();
        let mut row = &self.first;
        for _ in 0..index / ROW {
            row = row.next.get_or_init(Box::default);
        }
        assert!(!self.is_making.replace(true), "an item is added while another one is made");
        // SAFETY: nobody has a reference to a place that has no item, or comes to have one while the
        // item is made.
        let place = unsafe { &mut *row.places[index % ROW].get() };
        let item = place.write(make(index));
        self.is_making.set(false);
        self.len.set(index + 1);
        item
    }

    /// The number of items.
    #[inline]
    pub fn len(&self) -> usize {
        self.len.get()
    }

    /// The items from an index on.
    #[inline]
    pub fn starting_at(&self, first: usize) -> impl Iterator<Item = &T> {
        Iter { rows: self, index: first, row: self.row(first), position: first % ROW }
    }

    /// The item at an index.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.starting_at(index).next()
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

impl<T> Drop for Rows<T> {
    fn drop(&mut self) {
        // Whoever looks at the list meanwhile finds none of them.
        let mut left = self.len.replace(0);
        let mut row = Some(&self.first);
        while left > 0
            && let Some(Row { places, next }) = row
        {
            for place in places.iter().take(left) {
                let item: *mut T = place.get().cast();
                // SAFETY: the place has an item, and is not read any more.
                unsafe { ptr::drop_in_place(item) };
            }
            left = left.saturating_sub(ROW);
            row = next.get().map(Box::as_ref);
        }
    }
}

struct Iter<'a, T> {
    rows: &'a Rows<T>,
    /// The index of the next item, its row, and its position there, which may be behind the row's end.
    index: usize,
    row: Option<&'a Row<T>>,
    position: usize,
}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    #[inline]
    fn next(&mut self) -> Option<&'a T> {
        if self.index >= self.rows.len.get() {
            return None;
        }
        if self.position == ROW {
            *self = Self { row: self.row?.next.get().map(Box::as_ref), position: 0, ..*self };
        }
        // SAFETY: the place has an item, which nobody changes or drops while the list is borrowed.
        let place = unsafe { &*self.row?.places[self.position].get() };
        // SAFETY: as above.
        let item = unsafe { place.assume_init_ref() };
        self.index += 1;
        self.position += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

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
    fn items_are_dropped_once() {
        let dropped = Rc::new(Cell::new(0));
        struct Item(Rc<Cell<usize>>);
        impl Drop for Item {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        for len in 0..3 * ROW {
            dropped.set(0);
            let rows = Rows::default();
            (0..len).for_each(|_| _ = rows.push(|_| Item(Rc::clone(&dropped))));
            drop(rows);
            assert_eq!(dropped.get(), len);
        }
    }

    #[test]
    #[should_panic = "an item is added while another one is made"]
    fn one_item_is_made_at_a_time() {
        let rows = Rows::default();
        rows.push(|_| *rows.push(|index| index));
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
