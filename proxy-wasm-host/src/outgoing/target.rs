//! Where a call goes, in the forms that plugins write: `host`, `host:port`, an IP address,
//! `unix:/path`, or the name of an `upstream` block.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::limits::{HOST_LABEL, HOST_NAME, SOCKET_PATH};

/// The target of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An `upstream` block of the configuration.
    Upstream(String),
    /// A host name, which must be resolved.
    Host(String, Option<u16>),
    /// An IP address.
    Ip(IpAddr, Option<u16>),
    /// A socket in the file system.
    Unix(Vec<u8>),
}

impl Target {
    /// Reads what a plugin wrote; `None` if it does not name a server. `is_block` says whether
    /// there is an `upstream` block of that name: blocks come before hosts, as in `proxy_pass`.
    pub fn parse(text: &[u8], is_block: impl Fn(&str) -> bool) -> Option<Self> {
        if let Some(path) = text.strip_prefix(b"unix:") {
            let is_path = (1..=SOCKET_PATH).contains(&path.len()) && !path.contains(&0);
            return is_path.then(|| Self::Unix(path.to_vec()));
        }
        let text = str::from_utf8(text).ok()?;
        if is_block(text) {
            return Some(Self::Upstream(text.to_owned()));
        }
        let (host, port) = split_port(text)?;
        if let Some(ip) = host.strip_prefix('[') {
            return Some(Self::Ip(ip.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(), port));
        }
        // As in nginx, an IPv6 address needs brackets, because its last colon could be that of a
        // port.
        match host.parse::<Ipv4Addr>() {
            Ok(ip) => Some(Self::Ip(ip.into(), port)),
            Err(_) => is_host_name(host).then(|| Self::Host(host.to_ascii_lowercase(), port)),
        }
    }

    /// Whether this is a name without dot and port, as clusters of Envoy have.
    pub fn is_bare(&self) -> bool {
        matches!(self, Self::Host(host, None) if !host.contains('.'))
    }

    /// Returns host and port as other clients write them: a name, an address with its brackets, or
    /// a socket as `unix:/path` with port 0. `None` for a block, which only the embedder knows.
    pub fn host_and_port(&self, default_port: u16) -> Option<(String, u16)> {
        match self {
            Self::Upstream(_) => None,
            Self::Host(host, port) => Some((host.clone(), port.unwrap_or(default_port))),
            Self::Ip(ip @ IpAddr::V4(_), port) => Some((ip.to_string(), port.unwrap_or(default_port))),
            Self::Ip(ip @ IpAddr::V6(_), port) => Some((format!("[{ip}]"), port.unwrap_or(default_port))),
            Self::Unix(path) => Some((format!("unix:{}", str::from_utf8(path).ok()?), 0)),
        }
    }
}

/// Prints the target without the port.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) | Self::Host(name, _) => f.write_str(name),
            Self::Ip(ip, _) => write!(f, "{ip}"),
            Self::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
        }
    }
}

/// Splits an authority into host and port; `None` if the text after the last colon is not a port.
pub fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => match port.parse() {
            Ok(port @ 1..) => Some((host, Some(port))),
            _ => None,
        },
        _ => Some((text, None)),
    }
}

fn is_host_name(host: &str) -> bool {
    has_host_length(host) && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
}

/// Whether a host's name may have this length, and each of its labels: nginx's resolver keeps lengths
/// in 16 bits, and TLS has no longer names of servers, either.
pub fn has_host_length(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= HOST_NAME && host.split('.').all(|label| (1..=HOST_LABEL).contains(&label.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<Target> {
        Target::parse(text.as_bytes(), |name| name == "backend" || name == "10.0.0.9")
    }

    #[test]
    fn hosts_addresses_sockets_and_blocks_are_told_apart() {
        assert_eq!(parse("backend"), Some(Target::Upstream("backend".into())));
        assert_eq!(parse("10.0.0.9"), Some(Target::Upstream("10.0.0.9".into())), "blocks come first");
        assert_eq!(parse("Example.org"), Some(Target::Host("example.org".into(), None)));
        assert_eq!(parse("a_b:81"), Some(Target::Host("a_b".into(), Some(81))));
        assert_eq!(parse("10.0.0.1:81"), Some(Target::Ip([10, 0, 0, 1].into(), Some(81))));
        assert_eq!(parse("[::1]"), Some(Target::Ip(Ipv6Addr::LOCALHOST.into(), None)));
        assert_eq!(parse("[::1]:81"), Some(Target::Ip(Ipv6Addr::LOCALHOST.into(), Some(81))));
        assert_eq!(parse("unix:/a b"), Some(Target::Unix(b"/a b".to_vec())));
    }

    #[test]
    fn what_is_neither_is_none() {
        for text in
            ["", ":80", "a:0", "a:65536", "a:-1", "a:b", "a b", "[::1", "[10.0.0.1]", "a/b", "unix:", "é", "a:1:2"]
                .into_iter()
                // Without brackets it is unclear which colon is that of a port.
                .chain(["::1", "::1:80", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8:9"])
        {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(Target::parse(b"\xff", |_| false), None);
    }

    #[test]
    fn a_path_that_no_socket_can_have_is_none() {
        let path = format!("unix:/{}", "a".repeat(106));
        assert!(matches!(parse(&path), Some(Target::Unix(_))));
        for path in [&format!("{path}a"), "unix:\0a", "unix:/a\0"] {
            assert_eq!(parse(path), None, "{}", path.escape_default());
        }
    }

    #[test]
    fn a_name_that_no_host_can_have_is_none() {
        let (label, name) = ("a".repeat(63), "abc.".repeat(63));
        for text in [&label, &format!("{label}.{label}."), &format!("{name}a"), &format!("{name}a.:80")] {
            assert!(matches!(parse(text), Some(Target::Host(..))), "{text}");
        }
        for text in [
            &format!("{label}a"),
            &format!("{label}a.org"),
            &format!("{name}ab"),
            &format!("{name}ab:80"),
            &"a".repeat(65_536),
            &"a.".repeat(32_768),
            "a..b",
            ".a",
            ".",
            "a..",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn other_clients_get_a_host_and_a_port() {
        let of = |text| parse(text).unwrap().host_and_port(80);
        assert_eq!(of("a"), Some(("a".into(), 80)));
        assert_eq!(of("10.0.0.1:81"), Some(("10.0.0.1".into(), 81)));
        assert_eq!(of("[::1]"), Some(("[::1]".into(), 80)));
        assert_eq!(of("unix:/a"), Some(("unix:/a".into(), 0)));
        assert_eq!(of("backend"), None);
    }
}
