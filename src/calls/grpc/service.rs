//! Where a gRPC call goes, as plugins write it.
//!
//! `host:port`, an IP address, `unix:/path` or an `upstream` block, with `grpcs://` in front for TLS; or Envoy's serialized
//! [`GrpcService`], of which a cluster's name is an `upstream` block or a host, and a Google gRPC target a host.
//!
//! [`GrpcService`]: https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/grpc_service.proto

use super::super::target::{Target, split_port};

/// The server of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Where it is.
    pub target: Target,
    /// What it is asked as.
    pub authority: String,
    /// The name that its certificate must bear; `None` without TLS.
    pub tls_name: Option<String>,
}

impl Service {
    /// Reads what a plugin wrote; `None` if that names no server.
    pub fn parse(upstream: &[u8]) -> Option<Self> {
        Self::of_text(upstream).or_else(|| Self::of_message(upstream))
    }

    fn of_text(text: &[u8]) -> Option<Self> {
        match text.strip_prefix(b"grpcs://") {
            Some(text) => Self::new(text, true),
            None => Self::new(text.strip_prefix(b"grpc://").unwrap_or(text), false),
        }
    }

    fn new(text: &[u8], tls: bool) -> Option<Self> {
        let target = Target::parse(text)?;
        let authority = match target {
            Target::Unix(_) => "localhost".to_owned(),
            _ => str::from_utf8(text).ok()?.to_owned(),
        };
        let name = || split_port(&authority).map_or(&*authority, |(host, _)| host).trim_matches(['[', ']']).to_owned();
        Some(Self { tls_name: tls.then(name), target, authority })
    }

    fn of_message(message: &[u8]) -> Option<Self> {
        const ENVOY_GRPC: u64 = 1;
        const GOOGLE_GRPC: u64 = 2;
        if let Some(envoy_grpc) = field(message, ENVOY_GRPC) {
            let (cluster_name, authority) = (field(envoy_grpc, 1)?, field(envoy_grpc, 2));
            let mut service = Self::of_text(cluster_name)?;
            if let Some(authority) = authority.filter(|authority| !authority.is_empty()) {
                service.authority = str::from_utf8(authority).ok()?.to_owned();
            }
            return Some(service);
        }
        let google_grpc = field(message, GOOGLE_GRPC)?;
        let (target_uri, channel_credentials) = (field(google_grpc, 1)?, field(google_grpc, 2));
        let ssl_credentials = channel_credentials.and_then(|credentials| field(credentials, 1));
        Self::new(host_of(target_uri), ssl_credentials.is_some())
    }
}

/// What a target of gRPC names, in the forms of <https://github.com/grpc/grpc/blob/master/doc/naming.md> that are one server:
/// `dns:host:port`, `dns:///host:port`, `ipv4:address:port`, `ipv6:[address]:port`, `unix:path`. The DNS server that `dns://server/host`
/// asks for is nginx's resolver's business.
fn host_of(target_uri: &[u8]) -> &[u8] {
    if let Some(name) = target_uri.strip_prefix(b"dns:") {
        let path =
            name.strip_prefix(b"//").and_then(|rest| Some(&rest[rest.iter().position(|&byte| byte == b'/')? + 1..]));
        return path.unwrap_or(name);
    }
    let address = target_uri.strip_prefix(b"ipv4:").or_else(|| target_uri.strip_prefix(b"ipv6:"));
    address.unwrap_or(target_uri)
}

/// A text or message in a message of Protocol Buffers: the last of that number, as their rules want.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut rest = message;
    let mut found = None;
    while !rest.is_empty() {
        let tag = varint(&mut rest)?;
        match tag & 7 {
            0 => drop(varint(&mut rest)?),
            1 => drop(rest.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let value = rest.split_off(..length)?;
                if tag >> 3 == number {
                    found = Some(value);
                }
            }
            5 => drop(rest.split_off(..4)?),
            _ => return None,
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
