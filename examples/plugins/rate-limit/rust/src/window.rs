//! The count of a window, as it is kept in the shared store.

/// How many requests a window has let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Windows since the epoch.
    number: u64,
    passed: u32,
}

impl Window {
    /// The window of that number, if the stored value is of it; else a fresh one.
    pub fn read(stored: Option<&[u8]>, number: u64) -> Self {
        let parsed = stored.and_then(|bytes| {
            let (stored_number, passed) = bytes.split_first_chunk()?;
            let passed = u32::from_le_bytes(passed.try_into().ok()?);
            (u64::from_le_bytes(*stored_number) == number).then_some(passed)
        });
        Self { number, passed: parsed.unwrap_or(0) }
    }

    /// The window with one more request in it, and how many more may follow; `None` if it is full.
    pub fn take(self, count: u32) -> Option<(Self, u32)> {
        let remaining = count.checked_sub(self.passed + 1)?;
        Some((Self { passed: self.passed + 1, ..self }, remaining))
    }

    pub fn to_bytes(self) -> Vec<u8> {
        [&self.number.to_le_bytes()[..], &self.passed.to_le_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lets_so_many_pass() {
        let fresh = Window::read(None, 7);
        let (one, remaining) = fresh.take(2).unwrap();
        assert_eq!(remaining, 1);
        let (two, remaining) = Window::read(Some(&one.to_bytes()), 7).take(2).unwrap();
        assert_eq!((remaining, two.take(2)), (0, None));
        assert_eq!(Window::read(Some(&two.to_bytes()), 8), Window::read(None, 8));
    }
}
