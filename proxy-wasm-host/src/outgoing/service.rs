//! Where a gRPC call goes, in the forms that plugins write.
//!
//! A plugin writes `host:port`, an IP address, `unix:/path` or the name of an `upstream` block,
//! with `grpcs://` in front for TLS. Or it writes Envoy's serialized [`GrpcService`]: its cluster's
//! name is an `upstream` block or a host, and its Google gRPC target is a host.
//!
//! [`GrpcService`]:
//! https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/grpc_service.proto

use super::protobuf::field;
use super::target::{Target, split_port};

/// The server of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The server's address.
    pub target: Target,
    /// The value of `:authority` in the request.
    pub authority: String,
    /// The name that the server's certificate must have; `None` without TLS.
    pub tls_name: Option<String>,
}

impl Service {
    /// Reads what a plugin wrote; `None` if it does not name a server. `is_block` is the same as
    /// for [`Target::parse`].
    pub fn parse(upstream: &[u8], is_block: impl Fn(&str) -> bool) -> Option<Self> {
        Self::of_text(upstream, &is_block).or_else(|| Self::of_message(upstream, &is_block))
    }

    fn of_text(text: &[u8], is_block: &dyn Fn(&str) -> bool) -> Option<Self> {
        match text.strip_prefix(b"grpcs://") {
            Some(text) => Self::new(text, true, is_block),
            None => Self::new(text.strip_prefix(b"grpc://").unwrap_or(text), false, is_block),
        }
    }

    fn new(text: &[u8], tls: bool, is_block: &dyn Fn(&str) -> bool) -> Option<Self> {
        let target = Target::parse(text, is_block)?;
        let authority = match target {
            Target::Unix(_) => "localhost".to_owned(),
            _ => str::from_utf8(text).ok()?.to_owned(),
        };
        let name = || split_port(&authority).map_or(&*authority, |(host, _)| host).trim_matches(['[', ']']).to_owned();
        Some(Self { tls_name: tls.then(name), target, authority })
    }

    fn of_message(message: &[u8], is_block: &dyn Fn(&str) -> bool) -> Option<Self> {
        const ENVOY_GRPC: u64 = 1;
        const GOOGLE_GRPC: u64 = 2;
        if let Some(envoy_grpc) = field(message, ENVOY_GRPC) {
            let (cluster_name, authority) = (field(envoy_grpc, 1)?, field(envoy_grpc, 2));
            let mut service = Self::of_text(cluster_name, is_block)?;
            if let Some(authority) = authority.filter(|authority| !authority.is_empty()) {
                service.authority = str::from_utf8(authority).ok()?.to_owned();
            }
            return Some(service);
        }
        let google_grpc = field(message, GOOGLE_GRPC)?;
        let (target_uri, channel_credentials) = (field(google_grpc, 1)?, field(google_grpc, 2));
        let ssl_credentials = channel_credentials.and_then(|credentials| field(credentials, 1));
        Self::new(host_of(target_uri), ssl_credentials.is_some(), is_block)
    }
}

/// Finds the server in a gRPC target. Of the forms in
/// <https://github.com/grpc/grpc/blob/master/doc/naming.md> these name one server: `dns:host:port`,
/// `dns:///host:port`, `ipv4:address:port`, `ipv6:[address]:port`, `unix:path`. The embedder
/// decides about the DNS server in `dns://server/host`.
fn host_of(target_uri: &[u8]) -> &[u8] {
    if let Some(name) = target_uri.strip_prefix(b"dns:") {
        let path =
            name.strip_prefix(b"//").and_then(|rest| Some(&rest[rest.iter().position(|&byte| byte == b'/')? + 1..]));
        return path.unwrap_or(name);
    }
    let address = target_uri.strip_prefix(b"ipv4:").or_else(|| target_uri.strip_prefix(b"ipv6:"));
    address.unwrap_or(target_uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(upstream: &[u8]) -> Option<Service> {
        Service::parse(upstream, |name| name == "backend")
    }

    /// Serializes a field of Protocol Buffers.
    fn field_of(number: u8, value: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2, u8::try_from(value.len()).unwrap()][..], value].concat()
    }

    fn host(name: &str, port: u16) -> Target {
        Target::Host(name.to_owned(), Some(port))
    }

    #[test]
    fn a_text_names_a_server() {
        let service = parse(b"grpc.example:50051").unwrap();
        let expected =
            Service { target: host("grpc.example", 50051), authority: "grpc.example:50051".into(), tls_name: None };
        assert_eq!(service, expected);
        assert_eq!(parse(b"grpc://grpc.example:50051").as_ref(), Some(&expected));
        assert_eq!(parse(b"grpcs://grpc.example:50051").unwrap().tls_name.as_deref(), Some("grpc.example"));
        assert_eq!(parse(b"grpcs://[::1]:443").unwrap().tls_name.as_deref(), Some("::1"));
        assert_eq!(parse(b"unix:/run/grpc").unwrap().authority, "localhost");
        assert_eq!(parse(b"backend").unwrap().target, Target::Upstream("backend".into()));
    }

    #[test]
    fn envoys_message_names_a_cluster() {
        let cluster = field_of(1, b"backend");
        assert_eq!(parse(&field_of(1, &cluster)).unwrap().target, Target::Upstream("backend".into()));
        let asked_as = [cluster, field_of(2, b"api.example")].concat();
        let service = parse(&field_of(1, &asked_as)).unwrap();
        assert_eq!((service.target, &*service.authority), (Target::Upstream("backend".into()), "api.example"));
    }

    #[test]
    fn envoys_message_names_a_target_of_grpc() {
        let google = |uri: &[u8], rest: &[u8]| parse(&field_of(2, &[field_of(1, uri), rest.to_vec()].concat()));
        assert_eq!(google(b"dns:///a.example:1", b"").unwrap().target, host("a.example", 1));
        assert_eq!(google(b"dns:a.example:1", b"").unwrap().target, host("a.example", 1));
        assert_eq!(google(b"dns://8.8.8.8/a.example:1", b"").unwrap().target, host("a.example", 1));
        assert_eq!(google(b"ipv4:10.0.0.1:1", b"").unwrap().target, Target::Ip([10, 0, 0, 1].into(), Some(1)));
        let tls = field_of(2, &field_of(1, b""));
        assert_eq!(google(b"a.example:1", &tls).unwrap().tls_name.as_deref(), Some("a.example"));
        assert_eq!(google(b"a.example:1", &field_of(2, b"")).unwrap().tls_name, None);
    }

    #[test]
    fn what_names_no_server_is_none() {
        let wrong: [&[u8]; 7] = [
            b"",
            b"grpcs://",
            b"a b",
            b"a:0",
            &[0x0a, 9, b'a'],
            &field_of(1, &field_of(1, b"\xff")),
            &field_of(3, b"a"),
        ];
        for upstream in wrong {
            assert_eq!(parse(upstream), None, "{}", upstream.escape_ascii());
        }
    }
}
