//! Any host function with any numbers: wild addresses, unknown enumerators, sizes that lie.

use super::{Op, Ops};
use crate::abi::{common, only_0_1_0, only_0_2_100, since_0_2_0, wasi};
use crate::args::{Args, parse};
use crate::memory::{self, address};
use crate::outcome::Outcome;

pub const SINCE_0_2_0: Ops = &[("raw", raw_since_0_2_0 as Op)];
pub const ONLY_0_2_100: Ops = &[("raw", raw_only_0_2_100 as Op)];
pub const ONLY_0_1_0: Ops = &[("raw", raw_only_0_1_0 as Op)];

fn raw_since_0_2_0(args: &Args, _: &super::Frame) -> Outcome {
    raw(args, since_0_2_0::raw)
}

fn raw_only_0_2_100(args: &Args, _: &super::Frame) -> Outcome {
    raw(args, |function, numbers| only_0_2_100::raw(function, numbers).or_else(|| since_0_2_0::raw(function, numbers)))
}

fn raw_only_0_1_0(args: &Args, _: &super::Frame) -> Outcome {
    raw(args, only_0_1_0::raw)
}

fn raw(args: &Args, of_this_version: fn(&str, &[i64]) -> Option<u32>) -> Outcome {
    let function = args.text(0);
    let numbers: Vec<_> = (1..args.len()).map(|i| number(args.text(i))).collect();
    if let Some(errno) = wasi::raw(function, &numbers) {
        return Outcome::errno(errno);
    }
    let status = common::raw(function, &numbers).or_else(|| of_this_version(function, &numbers));
    Outcome::status(status.unwrap_or_else(|| panic!("there is no host function {function}")))
}

/// A number, or an address: `slot` of 64 writable bytes, `&text` of that text, `end-N` N bytes before the memory's end.
fn number(word: &str) -> i64 {
    if let Some(text) = word.strip_prefix('&') {
        return leak(text.as_bytes().to_vec());
    }
    match word.strip_prefix("end") {
        Some("") => memory::end().into(),
        Some(offset) => i64::from(memory::end()) + parse(offset).unwrap_or_else(|| panic!("bad offset in {word}")),
        None if word == "slot" => leak(vec![0; 64]),
        None => parse(word).unwrap_or_else(|| panic!("{word} is neither a number nor an address")),
    }
}

fn leak(bytes: Vec<u8>) -> i64 {
    address(bytes.leak().as_ptr()).into()
}
