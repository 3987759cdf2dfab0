//! Where a call goes, as plugins write it: `host`, `host:port`, an IP address, `unix:/path`, or the name of an `upstream` block.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ngx_bindings::inet::Address;
use ngx_bindings::upstream;

/// Where a call goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An `upstream` block of the configuration.
    Upstream(String),
    /// A host name, to be resolved.
    Host(String, Option<u16>),
    /// An IP address.
    Ip(IpAddr, Option<u16>),
    /// A socket in the file system.
    Unix(Vec<u8>),
}

impl Target {
    /// Reads what a plugin wrote; `None` if that is no host. Blocks come before hosts, as in `proxy_pass`.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if let Some(path) = text.strip_prefix(b"unix:") {
            return (!path.is_empty()).then(|| Self::Unix(path.to_vec()));
        }
        let text = str::from_utf8(text).ok()?;
        if upstream::servers(text).is_some() {
            return Some(Self::Upstream(text.to_owned()));
        }
        let (host, port) = split_port(text)?;
        if let Some(ip) = host.strip_prefix('[') {
            return Some(Self::Ip(ip.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(), port));
        }
        match host.parse::<IpAddr>() {
            Ok(ip) => Some(Self::Ip(ip, port)),
            Err(_) => is_host_name(host).then(|| Self::Host(host.to_ascii_lowercase(), port)),
        }
    }

    /// What other clients take for it: a name, an address with its brackets, or a socket as `unix:/path`, which has port 0. `None`
    /// for a block, which only nginx knows.
    pub fn host_and_port(&self, default_port: u16) -> Option<(String, u16)> {
        match self {
            Self::Upstream(_) => None,
            Self::Host(host, port) => Some((host.clone(), port.unwrap_or(default_port))),
            Self::Ip(ip @ IpAddr::V4(_), port) => Some((ip.to_string(), port.unwrap_or(default_port))),
            Self::Ip(ip @ IpAddr::V6(_), port) => Some((format!("[{ip}]"), port.unwrap_or(default_port))),
            Self::Unix(path) => Some((format!("unix:{}", str::from_utf8(path).ok()?), 0)),
        }
    }

    /// The address, of a target that has just one.
    pub fn address(&self, default_port: u16) -> Option<Address> {
        match self {
            Self::Ip(ip, port) => Some(Address::Ip((*ip, port.unwrap_or(default_port)).into())),
            Self::Unix(path) => Some(Address::Unix(path.clone())),
            Self::Upstream(_) | Self::Host(..) => None,
        }
    }
}

/// Without the port.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(name) | Self::Host(name, _) => f.write_str(name),
            Self::Ip(ip, _) => write!(f, "{ip}"),
            Self::Unix(path) => write!(f, "unix:{}", path.escape_ascii()),
        }
    }
}

/// Host and port of an authority; `None` if what follows the last colon is no port.
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
    !host.is_empty() && host.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
}
