//! Values of properties, and variables of nginx as such values.

use std::borrow::Cow;

use ngx_bindings::Request;

/// The value of a property, if the property exists.
pub type Value<'a> = Option<Cow<'a, [u8]>>;

/// A variable as it is.
pub fn variable<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    request.variable(name).map(Cow::Borrowed)
}

/// A variable that is a number.
pub fn integer<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    parse(request.variable(name)?).and_then(int)
}

/// A number of Envoy's types `int` and `uint`, a time or a duration.
pub fn int(value: i64) -> Value<'static> {
    Some(Cow::Owned(value.to_le_bytes().to_vec()))
}

/// A constant text.
pub fn text(value: &'static str) -> Value<'static> {
    Some(Cow::Borrowed(value.as_bytes()))
}

/// A text that was made.
pub fn owned(value: Vec<u8>) -> Value<'static> {
    Some(Cow::Owned(value))
}

pub fn parse(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Reads one of nginx's times, which are seconds with three decimals, as nanoseconds.
pub fn nanoseconds(text: &[u8]) -> Option<i64> {
    let (seconds, milliseconds) = std::str::from_utf8(text).ok()?.split_once('.')?;
    Some((seconds.parse::<i64>().ok()? * 1_000 + milliseconds.parse::<i64>().ok()?) * 1_000_000)
}

/// The last of the values that a variable about upstreams has for each server that was tried. nginx
/// separates them by `, `, and by ` : ` after an internal redirect.
pub fn last(list: &[u8]) -> &[u8] {
    list.rsplit(|&c| c == b' ').next().unwrap_or_default()
}

/// The number of servers that a variable about upstreams has values for.
pub fn count(list: &[u8]) -> usize {
    list.split(|&c| c == b' ').filter(|word| *word != b":").count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_upstreams_are_read() {
        for (list, number, end) in [
            (&b"10.0.0.1:80"[..], 1, &b"10.0.0.1:80"[..]),
            (b"10.0.0.1:80, [::1]:81", 2, b"[::1]:81"),
            (b"10.0.0.1:80, 10.0.0.2:80 : unix:/x", 3, b"unix:/x"),
            (b"-, 0.001", 2, b"0.001"),
        ] {
            assert_eq!((count(list), last(list)), (number, end));
        }
    }

    #[test]
    fn times_have_three_decimals() {
        assert_eq!(nanoseconds(b"1.002"), Some(1_002_000_000));
        assert_eq!(nanoseconds(b"-"), None);
    }
}
