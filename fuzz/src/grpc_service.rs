//! Fuzzes the target of a gRPC call: a text, or Envoy's serialized `GrpcService`.

use std::net::Ipv6Addr;

use proxy_wasm_host::outgoing::target::split_port;
use proxy_wasm_host::outgoing::{Names, Service, Target, TlsServer, Upstreams};

/// Expects that a parsed target can be called: no name is empty, no port is 0, and a name for TLS
/// has no port.
pub fn run(data: &[u8]) {
    let Ok(service) = Service::parse(data, &names(&Upstreams::default())) else { return };
    match &service.target {
        Target::Upstream(name) => assert_eq!(name, "block"),
        Target::Host(name, port) => assert!(!name.is_empty() && *port != Some(0)),
        Target::Ip(_, port) => assert_ne!(*port, Some(0)),
        Target::Unix(path) => assert!(!path.is_empty()),
    }
    let text = service.target.to_string();
    assert!(!text.is_empty());
    // `unix:80` is a socket, not a port of the host `unix`.
    if let Some((host, port)) = service.target.host_and_port(50051).filter(|(host, _)| host != "unix") {
        // The text that other clients get is parsed as the same target.
        let again = if port == 0 { host } else { format!("{host}:{port}") };
        let read = Target::parse(again.as_bytes(), |_| false).expect("a target");
        assert_eq!(read.host_and_port(0).map(|(host, _)| host), service.target.host_and_port(0).map(|(host, _)| host));
    }
    if let Some(TlsServer { name, .. }) = &service.tls {
        let is_address = name.parse::<Ipv6Addr>().is_ok();
        assert!(is_address || split_port(name) == Some((name, None)), "{name}");
    }
}

/// The names of a configuration with one `upstream` block.
pub fn names(upstreams: &Upstreams) -> Names<'_> {
    Names { upstreams, is_block: |name| name == "block", bare_hosts: true }
}
