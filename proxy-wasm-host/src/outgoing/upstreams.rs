//! The names that plugins call: which servers they stand for, and what the operator says of them.
//!
//! A plugin of Envoy calls a cluster, and leaves to it where the servers are and whether TLS is
//! spoken with them. Here `wasm_upstream` says so. A name that no such line has is read by
//! [`Target::parse`].

use std::collections::HashMap;

use super::target::{Target, has_host_length, split_port};
use crate::config::UpstreamDeclaration;
use crate::limits::HOST_LABEL;

/// What the operator says of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Upstream {
    /// The server, as the operator wrote it.
    server: String,
    target: Target,
    tls: Option<bool>,
    sni: Option<String>,
    authority: Option<String>,
    verify: Option<bool>,
}

/// The names that the operator has said something of.
#[derive(Clone, Debug, Default)]
pub struct Upstreams {
    named: HashMap<Vec<u8>, Upstream>,
    verify: bool,
}

/// How TLS is spoken with a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsServer {
    /// The name that the server's certificate must have.
    pub name: String,
    /// Whether the certificate is checked.
    pub verify: bool,
}

/// A name that stands for no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoServer(pub Vec<u8>);

impl Upstreams {
    /// Makes an empty list. `verify` says whether certificates are checked where nothing else is
    /// said.
    pub fn new(verify: bool) -> Self {
        Self { named: HashMap::default(), verify }
    }

    /// Adds a name.
    ///
    /// # Errors
    /// If there is no such server, in words for the operator.
    pub fn add(&mut self, declared: &UpstreamDeclaration, is_block: impl Fn(&str) -> bool) -> Result<(), String> {
        let server = declared.server.escape_ascii().to_string();
        let target = Target::parse(&declared.server, is_block).ok_or_else(|| {
            format!("\"{server}\" is not a server; write the name of an upstream block, HOST:PORT or unix:/PATH")
        })?;
        if target.is_bare() {
            return Err(format!(
                "there is no upstream \"{server}\"; write an upstream block of that name, or {server}:PORT if it is a host"
            ));
        }
        if let Some(sni) = declared.sni.as_deref().filter(|sni| !has_host_length(sni)) {
            return Err(format!("\"sni={sni}\" is not a server's name; each of its parts has 1 to {HOST_LABEL} bytes"));
        }
        if let Some(authority) = declared.authority.as_deref().filter(|authority| !is_authority(authority)) {
            return Err(format!("\"authority={authority}\" is not a host with or without a port"));
        }
        let upstream = Upstream {
            server,
            target,
            tls: declared.tls,
            sni: declared.sni.clone(),
            authority: declared.authority.clone(),
            verify: declared.verify,
        };
        self.named.insert(declared.name.clone(), upstream);
        Ok(())
    }

    /// Whether any certificate is checked.
    pub fn any_verifies(&self) -> bool {
        self.verify || self.named.values().any(|upstream| upstream.verify == Some(true))
    }
}

/// How the names that a plugin calls are read.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// What the operator says.
    pub upstreams: &'a Upstreams,
    /// Whether there is an `upstream` block of that name.
    pub is_block: fn(&str) -> bool,
    /// Whether a name without dot and port is a host, as for plugins of the C module. Otherwise it is
    /// the name of a cluster, which must be known.
    pub bare_hosts: bool,
}

impl<'a> Names<'a> {
    /// Returns the server that a name stands for.
    ///
    /// # Errors
    /// If it stands for none.
    pub fn find(&self, name: &[u8]) -> Result<Server<'a>, NoServer> {
        let verify = self.upstreams.verify;
        if let Some(said) = self.upstreams.named.get(name) {
            return Ok(Server { target: said.target.clone(), said: Some(said), verify });
        }
        match Target::parse(name, self.is_block) {
            Some(target) if self.bare_hosts || !target.is_bare() => Ok(Server { target, said: None, verify }),
            _ => Err(NoServer(name.to_vec())),
        }
    }
}

/// The server of a call.
pub struct Server<'a> {
    /// Where it is.
    pub target: Target,
    said: Option<&'a Upstream>,
    verify: bool,
}

impl Server<'_> {
    /// The `:authority` that the operator has set for it.
    pub fn authority(&self) -> Option<&str> {
        self.said?.authority.as_deref()
    }

    /// The server as the operator has written it, where `name` stands for it.
    pub fn text<'b>(&'b self, name: &'b str) -> &'b str {
        self.said.map_or(name, |said| &said.server)
    }

    /// Says how TLS is spoken; `None` without TLS. `asked` is whether the plugin wants it, which
    /// counts if the operator says nothing. A host's certificate must have the host's name; that of
    /// another server the name in `authority`.
    pub fn tls(&self, asked: bool, authority: &str) -> Option<TlsServer> {
        let said = |of: fn(&Upstream) -> Option<bool>| self.said.and_then(of);
        if !said(|said| said.tls).unwrap_or(asked) {
            return None;
        }
        let name = match (self.said.and_then(|said| said.sni.as_deref()), &self.target) {
            (Some(sni), _) => sni.to_owned(),
            (None, Target::Host(host, _)) => host.clone(),
            (None, Target::Upstream(_) | Target::Ip(..) | Target::Unix(_)) => host_of(authority).to_owned(),
        };
        Some(TlsServer { name, verify: said(|said| said.verify).unwrap_or(self.verify) })
    }
}

/// Whether a text is a host or an address, with or without a port: servers refuse other authorities,
/// and TLS can ask for none.
fn is_authority(text: &str) -> bool {
    matches!(Target::parse(text.as_bytes(), |_| false), Some(Target::Host(..) | Target::Ip(..)))
}

/// Returns an authority's host, an address without its brackets.
fn host_of(authority: &str) -> &str {
    let host = split_port(authority).map_or(authority, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_block(name: &str) -> bool {
        name == "backend"
    }

    fn upstreams(lines: &[&str]) -> Upstreams {
        let mut upstreams = Upstreams::new(true);
        for line in lines {
            let arguments: Vec<_> = line.split(' ').map(str::as_bytes).collect();
            upstreams.add(&UpstreamDeclaration::parse(&arguments).unwrap(), is_block).unwrap();
        }
        upstreams
    }

    fn names(upstreams: &Upstreams) -> Names<'_> {
        Names { upstreams, is_block, bare_hosts: false }
    }

    #[test]
    fn a_name_that_is_said_comes_first() {
        let upstreams = upstreams(&["outbound|80||a.svc 10.0.0.1:81", "backend unix:/a", "b.test backend"]);
        let target = |name: &str| names(&upstreams).find(name.as_bytes()).unwrap().target;
        assert_eq!(target("outbound|80||a.svc"), Target::Ip([10, 0, 0, 1].into(), Some(81)));
        assert_eq!(target("backend"), Target::Unix(b"/a".to_vec()));
        assert_eq!(target("b.test"), Target::Upstream("backend".into()));
        assert_eq!(target("c.test"), Target::Host("c.test".into(), None));
    }

    #[test]
    fn a_bare_name_is_that_of_a_cluster() {
        let upstreams = Upstreams::default();
        let mut names = names(&upstreams);
        for name in ["web", "outbound|80||a.svc", "a b", ""] {
            assert_eq!(names.find(name.as_bytes()).err(), Some(NoServer(name.as_bytes().to_vec())), "{name}");
        }
        assert!(["web:80", "web.", "a.b", "backend"].iter().all(|name| names.find(name.as_bytes()).is_ok()));
        names.bare_hosts = true;
        assert_eq!(names.find(b"web").unwrap().target, Target::Host("web".into(), None));
    }

    #[test]
    fn the_operators_word_about_tls_counts() {
        let upstreams = upstreams(&[
            "on 10.0.0.1:443 tls=on",
            "off 10.0.0.1:80 tls=off",
            "all 10.0.0.1:443 tls=on sni=a.test verify=off",
            "plugins b.test verify=off",
        ]);
        let tls = |name: &str, asked| names(&upstreams).find(name.as_bytes()).unwrap().tls(asked, "[::1]:1");
        let server = |name: &str, verify| Some(TlsServer { name: name.to_owned(), verify });
        assert_eq!(tls("on", false), server("::1", true));
        assert_eq!(tls("off", true), None);
        assert_eq!(tls("all", false), server("a.test", false));
        assert_eq!((tls("plugins", false), tls("plugins", true)), (None, server("b.test", false)));
        assert_eq!((tls("c.test", false), tls("c.test", true)), (None, server("c.test", true)));
    }

    #[test]
    fn a_server_that_there_is_not_is_refused() {
        let add = |server: &str| {
            let declared = UpstreamDeclaration::parse(&[b"name", server.as_bytes()]).unwrap();
            Upstreams::new(true).add(&declared, is_block).unwrap_err()
        };
        assert!(add("web").starts_with("there is no upstream \"web\"; "), "{}", add("web"));
        for server in ["a:0", "a:b", "a b", "unix:"] {
            assert!(add(server).starts_with(&format!("\"{server}\" is not a server; ")), "{}", add(server));
        }
    }

    #[test]
    fn a_name_that_tls_cannot_ask_for_is_refused() {
        for sni in [&*"a".repeat(64), ".a.test", "a..test", ".."] {
            let error = refusal(&format!("sni={sni}"));
            assert!(error.contains(&format!("\"sni={sni}\" is not a server's name; each")), "{error}");
        }
    }

    #[test]
    fn an_authority_that_servers_refuse_is_refused() {
        for authority in [":80", "a:b", "a:", "a:99999", "a..b", "[zz]:1", "user@a", "user:b@a", "unix:1"] {
            let error = refusal(&format!("authority={authority}"));
            assert_eq!(error, format!("\"authority={authority}\" is not a host with or without a port"));
        }
        upstreams(&["a backend authority=a_b:80", "b backend authority=[::1]:80", "c backend authority=10.0.0.1"]);
    }

    fn refusal(parameter: &str) -> String {
        let declared = UpstreamDeclaration::parse(&[b"backend", parameter.as_bytes()]).unwrap();
        Upstreams::new(true).add(&declared, is_block).unwrap_err()
    }

    #[test]
    fn certificates_are_needed_if_any_is_checked() {
        assert!(upstreams(&["a backend verify=off"]).any_verifies());
        let mut unchecked = upstreams(&["a backend verify=off"]);
        unchecked.verify = false;
        assert!(!unchecked.any_verifies());
        let mut one = upstreams(&["a backend verify=on"]);
        one.verify = false;
        assert!(one.any_verifies());
    }
}
