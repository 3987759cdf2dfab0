//! `host` and `:authority` of a request: one value under two names.
//!
//! A plugin that changes one of the two and writes the other back unchanged means the change. The
//! order of its writes does not matter, because a map has no intended order. Where a plugin changes
//! both to different values, `:authority` counts, as RFC 9113 says of a request that names two
//! hosts.

/// The name under which a value was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The field `host`.
    Host,
    /// The pseudo header `:authority`.
    Authority,
}

impl Name {
    /// Returns which of the two names this is; `None` for any other field.
    pub fn of(name: &[u8]) -> Option<Self> {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => Some(Self::Host),
            10 if name == b":authority" => Some(Self::Authority),
            _ => None,
        }
    }
}

/// What one plugin has written to a request's host so far, one function call after another.
#[derive(Debug)]
pub struct Written {
    name: Name,
    /// The host's value before the plugin's first change.
    before: Vec<u8>,
}

impl Written {
    /// Returns whether writing `value` now takes effect, while the host is `current`.
    pub fn counts(this: Option<&Self>, current: &[u8], name: Name, value: &[u8]) -> bool {
        match this {
            Some(written) if written.name != name && written.before != current => {
                name == Name::Authority && value != written.before
            }
            _ => true,
        }
    }

    /// Records that a value takes effect, while the host was `current`.
    pub fn note(this: &mut Option<Self>, current: &[u8], name: Name, value: &[u8]) {
        match this {
            Some(written) => written.name = name,
            None if value != current => *this = Some(Self { name, before: current.to_vec() }),
            None => {}
        }
    }
}

/// Returns the name and value that set the host when a plugin writes a whole map, while the host is
/// `current`; `None` if the map has neither name.
pub fn of_map<'a>(current: &[u8], fields: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Option<(Name, &'a [u8])> {
    let (mut host, mut authority) = (None, None);
    for (name, value) in fields {
        match Name::of(name) {
            Some(Name::Host) => host = Some((Name::Host, value)),
            Some(Name::Authority) => authority = Some((Name::Authority, value)),
            None => {}
        }
    }
    match authority {
        Some((_, value)) if value == current => host.or(authority),
        _ => authority.or(host),
    }
}

/// Returns whether nginx accepts `host` from a client: `ngx_http_validate_host`.
pub fn is_valid(host: &[u8]) -> bool {
    let no_char = |byte: &u8| *byte == b'/' || *byte <= b' ' || *byte == 0x7f;
    let end = match host.first() {
        Some(b'[') => host.iter().position(|&byte| byte == b']').map_or(host.len(), |i| i + 1),
        _ => host.iter().position(|&byte| byte == b':').unwrap_or(host.len()),
    };
    !matches!(&host[..end], b"" | b".") && !host.iter().any(no_char) && !host.windows(2).any(|pair| pair == b"..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(current: &str, fields: &[(&'static str, &'static str)]) -> Option<&'static str> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        of_map(current.as_bytes(), fields).map(|(_, value)| std::str::from_utf8(value).unwrap())
    }

    /// Reads a map with `host` first and one with `:authority` first; both must give the same.
    fn both(current: &str, host: &'static str, authority: &'static str) -> Option<&'static str> {
        let there = map(current, &[("Host", host), ("a", "b"), (":authority", authority)]);
        assert_eq!(map(current, &[(":authority", authority), ("Host", host)]), there);
        there
    }

    #[test]
    fn the_one_that_a_map_changes_counts() {
        assert_eq!(both("a", "a", "a"), Some("a"));
        assert_eq!(both("a", "a", "b"), Some("b"));
        assert_eq!(both("a", "b", "a"), Some("b"));
        assert_eq!(both("a", "b", "b"), Some("b"));
        assert_eq!(both("a", "b", "c"), Some("c"));
    }

    #[test]
    fn a_map_may_have_one_of_them_or_none() {
        assert_eq!(map("a", &[("host", "b")]), Some("b"));
        assert_eq!(map("a", &[(":authority", "b")]), Some("b"));
        assert_eq!(map("a", &[(":authority", "a")]), Some("a"));
        assert_eq!(map("a", &[("hosts", "b"), (":path", "/")]), None);
    }

    /// Returns the host after a plugin has written these values one by one.
    fn one_by_one(writes: &[(Name, &str)]) -> String {
        let (mut current, mut written) = ("a".to_owned(), None);
        for &(name, value) in writes {
            let (was, value) = (current.clone().into_bytes(), value.as_bytes());
            if Written::counts(written.as_ref(), &was, name, value) {
                Written::note(&mut written, &was, name, value);
                current = String::from_utf8(value.to_vec()).unwrap();
            }
        }
        current
    }

    #[test]
    fn the_one_that_is_changed_counts_in_any_order() {
        use Name::{Authority, Host};
        for (host, authority, result) in [("a", "b", "b"), ("b", "a", "b"), ("b", "b", "b"), ("b", "c", "c")] {
            assert_eq!(one_by_one(&[(Host, host), (Authority, authority)]), result);
            assert_eq!(one_by_one(&[(Authority, authority), (Host, host)]), result);
        }
    }

    #[test]
    fn a_plugin_may_change_its_mind() {
        use Name::{Authority, Host};
        assert_eq!(one_by_one(&[(Host, "b"), (Host, "a")]), "a");
        assert_eq!(one_by_one(&[(Authority, "b"), (Authority, "a"), (Host, "c")]), "c");
        assert_eq!(one_by_one(&[(Host, "b"), (Authority, "c"), (Host, "a"), (Authority, "a")]), "a");
    }

    #[test]
    fn a_host_is_what_nginx_takes_for_one() {
        for host in ["a", "A.example.", "a.example:80", "[::1]", "[::1]:80", "a_b", "127.0.0.1", "caf\u{e9}"] {
            assert!(is_valid(host.as_bytes()), "{host}");
        }
        for host in ["", ".", ":80", ".:80", "a/b", "../a", "a..b", "a b", "a\tb", "a\x7f"] {
            assert!(!is_valid(host.as_bytes()), "{host}");
        }
    }
}
