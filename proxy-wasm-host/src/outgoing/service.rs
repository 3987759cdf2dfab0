//! Where a gRPC call goes, in the forms that plugins write.
//!
//! A plugin writes `host:port`, an IP address, `unix:/path` or the name of an `upstream` block,
//! with `grpcs://` in front for TLS. Or it writes Envoy's serialized [`GrpcService`]: its cluster's
//! name is an `upstream` block or a host, and its Google gRPC target is a host.
//!
//! [`GrpcService`]:
//! https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/core/v3/grpc_service.proto

use http::uri::Authority;

use super::protobuf::field;
use super::target::Target;
use super::upstreams::{Names, NoServer, TlsServer};

/// The server of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// The server's address.
    pub target: Target,
    /// The value of `:authority` in the request.
    pub authority: String,
    /// Whether the operator has set the authority, so that no metadata replaces it.
    pub authority_is_set: bool,
    /// How TLS is spoken with the server; `None` without TLS.
    pub tls: Option<TlsServer>,
}

impl Service {
    /// Reads what a plugin wrote.
    ///
    /// # Errors
    /// The name that stands for no server.
    pub fn parse(upstream: &[u8], names: &Names<'_>) -> Result<Self, NoServer> {
        Self::of_text(upstream, None, names)
            .or_else(|no_server| Self::of_message(upstream, names).unwrap_or(Err(no_server)))
    }

    fn of_text(text: &[u8], authority: Option<&str>, names: &Names<'_>) -> Result<Self, NoServer> {
        match text.strip_prefix(b"grpcs://") {
            Some(text) => Self::new(text, authority, true, names),
            None => Self::new(text.strip_prefix(b"grpc://").unwrap_or(text), authority, false, names),
        }
    }

    /// `authority` is the plugin's.
    fn new(name: &[u8], authority: Option<&str>, tls: bool, names: &Names<'_>) -> Result<Self, NoServer> {
        let server = names.find(name)?;
        let text = server.text(str::from_utf8(name).unwrap_or_default());
        // The path of a socket in the file system is not a host name, nor are some names of blocks.
        let is_host = !matches!(server.target, Target::Unix(_)) && text.parse::<Authority>().is_ok();
        let text = if is_host { text } else { "localhost" };
        let tls_authority = server.authority().unwrap_or(text);
        let tls = server.tls(tls, tls_authority);
        let authority_is_set = server.authority().is_some();
        let authority = server.authority().or(authority).unwrap_or(text).to_owned();
        Ok(Self { tls, authority, authority_is_set, target: server.target })
    }

    /// Reads Envoy's message; `None` if it is none.
    fn of_message(message: &[u8], names: &Names<'_>) -> Option<Result<Self, NoServer>> {
        const ENVOY_GRPC: u64 = 1;
        const GOOGLE_GRPC: u64 = 2;
        if let Some(envoy_grpc) = field(message, ENVOY_GRPC) {
            let (cluster_name, authority) = (field(envoy_grpc, 1)?, field(envoy_grpc, 2));
            let authority = authority.filter(|authority| !authority.is_empty()).map(str::from_utf8).transpose().ok()?;
            return Some(Self::of_text(cluster_name, authority, names));
        }
        let google_grpc = field(message, GOOGLE_GRPC)?;
        let (target_uri, channel_credentials) = (field(google_grpc, 1)?, field(google_grpc, 2));
        let ssl_credentials = channel_credentials.and_then(|credentials| field(credentials, 1));
        Some(Self::new(host_of(target_uri), None, ssl_credentials.is_some(), names))
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
    use crate::config::UpstreamDeclaration;
    use crate::outgoing::Upstreams;

    fn upstreams() -> Upstreams {
        let mut upstreams = Upstreams::new(true);
        for arguments in [
            &[&b"outbound|443||a.svc"[..], b"a.example:1", b"tls=on", b"sni=b.example"][..],
            &[b"asked", b"a.example:1", b"authority=c.example"],
            &[b"backend", b"tls=off"],
        ] {
            upstreams.add(&UpstreamDeclaration::parse(arguments).unwrap(), is_block).unwrap();
        }
        upstreams
    }

    fn is_block(name: &str) -> bool {
        name == "backend" || name == "odd|name"
    }

    fn try_parse(upstream: &[u8]) -> Result<Service, NoServer> {
        Service::parse(upstream, &Names { upstreams: &upstreams(), is_block, bare_hosts: false })
    }

    fn parse(upstream: &[u8]) -> Option<Service> {
        try_parse(upstream).ok()
    }

    fn tls_name(service: Service) -> Option<String> {
        service.tls.map(|tls| tls.name)
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
        let expected = Service {
            target: host("grpc.example", 50051),
            authority: "grpc.example:50051".into(),
            authority_is_set: false,
            tls: None,
        };
        assert_eq!(service, expected);
        assert_eq!(parse(b"grpc://grpc.example:50051").as_ref(), Some(&expected));
        assert_eq!(tls_name(parse(b"grpcs://grpc.example:50051").unwrap()).as_deref(), Some("grpc.example"));
        assert_eq!(tls_name(parse(b"grpcs://[::1]:443").unwrap()).as_deref(), Some("::1"));
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
    fn the_operator_says_what_a_name_stands_for() {
        let of = |name: &[u8]| parse(&field_of(1, &field_of(1, name))).unwrap();
        let service = of(b"outbound|443||a.svc");
        assert_eq!((&service.target, &*service.authority), (&host("a.example", 1), "a.example:1"));
        assert_eq!(service.tls, Some(TlsServer { name: "b.example".into(), verify: true }));
        assert_eq!(parse(b"outbound|443||a.svc"), Some(service));
        let cluster = [field_of(1, b"asked"), field_of(2, b"api.example")].concat();
        let service = parse(&field_of(1, &cluster)).unwrap();
        assert_eq!((&*service.authority, service.authority_is_set), ("c.example", true));
        assert_eq!(parse(b"grpcs://backend").unwrap().tls, None);
        assert_eq!(of(b"odd|name").authority, "localhost");
    }

    #[test]
    fn the_name_of_an_unknown_cluster_is_told() {
        assert_eq!(try_parse(b"unknown"), Err(NoServer(b"unknown".to_vec())));
        assert_eq!(try_parse(b"grpcs://unknown"), Err(NoServer(b"unknown".to_vec())));
        assert_eq!(try_parse(&field_of(1, &field_of(1, b"a|b"))), Err(NoServer(b"a|b".to_vec())));
    }

    #[test]
    fn envoys_message_names_a_target_of_grpc() {
        let google = |uri: &[u8], rest: &[u8]| parse(&field_of(2, &[field_of(1, uri), rest.to_vec()].concat()));
        assert_eq!(google(b"dns:///a.example:1", b"").unwrap().target, host("a.example", 1));
        assert_eq!(google(b"dns:a.example:1", b"").unwrap().target, host("a.example", 1));
        assert_eq!(google(b"dns://8.8.8.8/a.example:1", b"").unwrap().target, host("a.example", 1));
        assert_eq!(google(b"ipv4:10.0.0.1:1", b"").unwrap().target, Target::Ip([10, 0, 0, 1].into(), Some(1)));
        let tls = field_of(2, &field_of(1, b""));
        assert_eq!(tls_name(google(b"a.example:1", &tls).unwrap()).as_deref(), Some("a.example"));
        assert_eq!(google(b"a.example:1", &field_of(2, b"")).unwrap().tls, None);
    }

    #[test]
    fn what_names_no_server_is_none() {
        let wrong: [&[u8]; 8] = [
            b"",
            b"grpcs://",
            b"a b",
            b"a:0",
            &[0x0a, 9, b'a'],
            &field_of(1, &field_of(1, b"\xff")),
            &field_of(3, b"a"),
            b"unknown",
        ];
        for upstream in wrong {
            assert_eq!(parse(upstream), None, "{}", upstream.escape_ascii());
        }
    }
}
