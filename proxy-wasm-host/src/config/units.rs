//! Sizes and times: reads them as nginx does, and prints them for people.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

use super::{Error, Result};

/// `ngx_parse_size`: bytes, or a number followed by `k`, `m` or `g`.
///
/// # Errors
/// When the text is not a size, or too large.
pub fn parse_size(text: &str) -> Result<usize> {
    let (number, unit) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 1 << 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 1 << 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    digits::<usize>(number)
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(|| Error::new(format!("\"{text}\" is not a size; write bytes, or a number with k, m or g")))
}

/// `ngx_parse_time`: seconds, or numbers that each have a unit, from the largest unit to the
/// smallest: `1m30s`, `500ms`.
///
/// # Errors
/// When the text is not a time, or too long.
pub fn parse_time(text: &str) -> Result<Duration> {
    sum_of_units(text).ok_or_else(|| {
        Error::new(format!("\"{text}\" is not a time; write seconds, or a number with ms, s, m, h, d or w"))
    })
}

/// The units in milliseconds, in the order in which they may follow each other.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

fn sum_of_units(text: &str) -> Option<Duration> {
    let mut total = 0u64;
    let mut allowed = &UNITS[..];
    let mut rest = text;
    while !rest.is_empty() || rest.len() == text.len() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, behind) = rest.split_at(number_end);
        let unit_end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit_end);
        // A number without a unit counts seconds, and must be the last one.
        let unit = if unit.is_empty() { "s" } else { unit };
        let place = allowed.iter().position(|(name, _)| *name == unit)?;
        total = total.checked_add(digits::<u64>(number)?.checked_mul(allowed[place].1)?)?;
        allowed = &allowed[place + 1..];
        rest = behind;
    }
    Some(Duration::from_millis(total))
}

/// Reads a number that has only digits; `FromStr` would accept a `+`.
fn digits<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A number of bytes, printed for people in nginx's units: 1m is 1 MB.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub usize);

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (kilo, mega, giga) = (f64::from(1 << 10), f64::from(1 << 20), f64::from(1 << 30));
        match self.0 as f64 {
            bytes if bytes < kilo => write!(f, "{bytes} bytes"),
            bytes if bytes < mega => write!(f, "{:.0} KB", bytes / kilo),
            bytes if bytes < 9.95 * mega => write!(f, "{:.1} MB", bytes / mega),
            bytes if bytes < giga => write!(f, "{:.0} MB", bytes / mega),
            bytes => write!(f, "{:.1} GB", bytes / giga),
        }
    }
}

/// A time in seconds, printed for people.
#[derive(Clone, Copy, Debug)]
pub struct Seconds(pub f64);

impl Display for Seconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds if seconds < 1e-3 => write!(f, "{:.0} µs", seconds * 1e6),
            seconds if seconds < 1.0 => write!(f, "{:.0} ms", seconds * 1e3),
            seconds if seconds < 100.0 => write!(f, "{seconds:.1} s"),
            seconds => write!(f, "{seconds:.0} s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_bytes_or_have_a_unit() {
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert_eq!(parse_size("64k"), Ok(64 << 10));
        assert_eq!(parse_size("256M"), Ok(256 << 20));
        assert_eq!(parse_size("1g"), Ok(1 << 30));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "k", "-1", "+1", "1kb", "1.5m", "18446744073709551615g", "99999999999999999999", "1 m", "é"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_units() {
        assert_eq!(parse_time("0"), Ok(Duration::ZERO));
        assert_eq!(parse_time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_time("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_time("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_time("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(parse_time("1m30"), Ok(Duration::from_secs(90)));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in
            ["", "s", "1x", "30s1m", "1s1s", "1 s", "-1", "+1", "99999999999999999999", "18446744073709551615w", "1µ"]
        {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_people_read_has_few_digits() {
        let sizes = [7, 2_000, 64 << 10, 1_153_000, 256 << 20, 4 << 30].map(|size| Size(size).to_string());
        assert_eq!(sizes, ["7 bytes", "2 KB", "64 KB", "1.1 MB", "256 MB", "4.0 GB"]);
        let times = [0.0, 0.000_033, 0.0045, 3.72, 250.4].map(|time| Seconds(time).to_string());
        assert_eq!(times, ["0 µs", "33 µs", "4 ms", "3.7 s", "250 s"]);
    }
}
