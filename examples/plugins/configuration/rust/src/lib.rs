//! The JSON of a plugin's configuration, as nginx.conf and APISIX pass it.

use serde::de::DeserializeOwned;

/// Reads a configuration.
///
/// # Errors
///
/// In words for the operator.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, String> {
    serde_json::from_slice(&escape_newlines(json)).map_err(|error| format!("bad configuration: {error}"))
}

/// In nginx.conf, as in the text that APISIX passes on, `\n` has become a newline by the time it gets here; JSON wants
/// none within a string.
fn escape_newlines(json: &[u8]) -> Vec<u8> {
    let (mut in_string, mut after_backslash) = (false, false);
    let mut escaped = Vec::with_capacity(json.len());
    for &byte in json {
        match byte {
            b'\n' if in_string => escaped.extend(b"\\n"),
            b'\r' if in_string => escaped.extend(b"\\r"),
            b'\t' if in_string => escaped.extend(b"\\t"),
            _ => escaped.push(byte),
        }
        in_string ^= byte == b'"' && !after_backslash;
        after_backslash = byte == b'\\' && !after_backslash;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newline_may_stand_in_a_text() {
        assert_eq!(parse(b"[\n\"\\\"HIT\\\"\n\"]"), Ok(vec!["\"HIT\"\n".to_owned()]));
    }

    #[test]
    fn what_is_no_json_is_refused() {
        assert!(parse::<String>(b"").unwrap_err().starts_with("bad configuration: EOF"));
    }
}
