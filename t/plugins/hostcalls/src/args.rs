//! The arguments of a step, placeholders replaced.

use crate::memory::address;
use crate::names;
use crate::pairs::{self, Pairs};

pub enum Arg {
    Bytes(Vec<u8>),
    Pairs(Pairs),
}

impl Arg {
    pub fn show(&self) -> Vec<u8> {
        match self {
            Arg::Bytes(bytes) => bytes.clone(),
            Arg::Pairs(pairs) => pairs::show(pairs),
        }
    }
}

pub struct Args(pub Vec<Arg>);

/// Bytes with an address, for a host function.
pub struct Data(pub Vec<u8>);

impl Data {
    pub fn address(&self) -> u32 {
        address(self.0.as_ptr())
    }

    pub fn size(&self) -> u32 {
        self.0.len() as u32
    }
}

/// Arguments are counted from 0. A missing one is a panic, unless the method says that it is optional.
impl Args {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self, i: usize) -> Option<&[u8]> {
        match self.0.get(i)? {
            Arg::Bytes(bytes) => Some(bytes),
            Arg::Pairs(_) => panic!("argument {i} is a list of pairs, not a text"),
        }
    }

    pub fn text(&self, i: usize) -> &str {
        let bytes = self.bytes(i).unwrap_or_else(|| panic!("argument {i} is missing"));
        std::str::from_utf8(bytes).unwrap_or_else(|_| panic!("argument {i} is not UTF-8"))
    }

    /// Optional, empty by default.
    pub fn data(&self, i: usize) -> Data {
        Data(self.bytes(i).unwrap_or_default().to_vec())
    }

    /// Optional, empty by default. Where a text stands in place of pairs, it is the map as serialized.
    pub fn map(&self, i: usize) -> Data {
        match self.0.get(i) {
            Some(Arg::Pairs(pairs)) => Data(pairs::serialize(pairs)),
            _ => self.data(i),
        }
    }

    /// Decimal or 0x…, negative or not; `max` is the largest 32-bit number.
    pub fn number(&self, i: usize) -> i64 {
        parse(self.text(i)).unwrap_or_else(|| panic!("argument {i} is not a number: {}", self.text(i)))
    }

    pub fn number_or(&self, i: usize, default: i64) -> u32 {
        (if i < self.len() { self.number(i) } else { default }) as u32
    }

    pub fn u32(&self, i: usize) -> u32 {
        self.number(i) as u32
    }

    pub fn enumerator(&self, i: usize, names: &[&str]) -> u32 {
        names::number(names, self.text(i)).unwrap_or_else(|| panic!("argument {i} is none of {names:?}"))
    }
}

pub fn parse(text: &str) -> Option<i64> {
    match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok(),
        None if text == "max" => Some(u32::MAX.into()),
        None => text.parse().ok().or_else(|| text.parse::<u64>().ok().map(|n| n as i64)),
    }
}
