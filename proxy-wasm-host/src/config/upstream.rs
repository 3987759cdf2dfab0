//! What the operator says of a name that plugins call:
//! `wasm_upstream NAME [SERVER] [tls=on|off] [sni=NAME] [authority=NAME] [verify=on|off];`.

use std::net::IpAddr;

use http::uri::Authority;

use super::{Error, Result};

/// A `wasm_upstream` line. Whether its server exists is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamDeclaration {
    /// The name, as plugins write it. It may have any characters.
    pub name: Vec<u8>,
    /// An `upstream` block, a host, an address or a socket; the name itself if none is given.
    pub server: Vec<u8>,
    /// Whether TLS is spoken; `None` leaves it to the plugin.
    pub tls: Option<bool>,
    /// The name that is asked for by SNI, and that the certificate must have.
    pub sni: Option<String>,
    /// The `:authority` of every call, in place of the plugin's.
    pub authority: Option<String>,
    /// Whether the certificate is checked; `None` is as in `wasm_ssl_verify`.
    pub verify: Option<bool>,
}

impl UpstreamDeclaration {
    /// Reads the arguments after `wasm_upstream`.
    ///
    /// # Errors
    /// When an argument is missing, given twice or not understood.
    pub fn parse(arguments: &[&[u8]]) -> Result<Self> {
        let Some((&name, rest)) = arguments.split_first().filter(|(name, _)| !name.is_empty()) else {
            return Err(Error::new("has an empty name"));
        };
        let (server, parameters) = match rest.split_first() {
            Some((&server, parameters)) if parameter(server).is_none() => (server, parameters),
            _ => (name, rest),
        };
        let (server, name) = (server.to_vec(), name.to_vec());
        let mut this = Self { name, server, tls: None, sni: None, authority: None, verify: None };
        parameters.iter().try_for_each(|argument| this.set(argument))?;
        if this.tls == Some(false) && (this.sni.is_some() || this.verify.is_some()) {
            return Err(Error::new("has tls=off, so sni= and verify= mean nothing; remove them, or tls=off"));
        }
        Ok(this)
    }

    fn set(&mut self, argument: &[u8]) -> Result<()> {
        let Some((parameter, value)) = parameter(argument) else {
            let argument = argument.escape_ascii();
            return Err(Error::new(format!(
                "has no parameter \"{argument}\"; there are tls, sni, authority and verify"
            )));
        };
        let set = match parameter {
            "tls" => once(&mut self.tls, switch(parameter, value)?),
            "verify" => once(&mut self.verify, switch(parameter, value)?),
            "sni" => once(&mut self.sni, server_name(value)?),
            _ => once(&mut self.authority, authority(value)?),
        };
        set.ok_or_else(|| Error::new(format!("sets \"{parameter}\" twice")))
    }
}

/// Reads `NAME=VALUE` of a parameter that there is.
fn parameter(argument: &[u8]) -> Option<(&str, &str)> {
    let (name, value) = str::from_utf8(argument).ok()?.split_once('=')?;
    matches!(name, "tls" | "sni" | "authority" | "verify").then_some((name, value))
}

fn once<T>(setting: &mut Option<T>, value: T) -> Option<()> {
    setting.replace(value).is_none().then_some(())
}

fn switch(parameter: &str, value: &str) -> Result<bool> {
    match value {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(Error::new(format!("\"{parameter}={value}\" is neither on nor off"))),
    }
}

fn server_name(value: &str) -> Result<String> {
    let is_name = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
    if value.parse::<IpAddr>().is_ok() || (!value.is_empty() && value.bytes().all(is_name)) {
        return Ok(value.to_owned());
    }
    Err(Error::new(format!("\"sni={value}\" is not a server's name; write it without a port")))
}

fn authority(value: &str) -> Result<String> {
    match value.parse::<Authority>() {
        Ok(_) => Ok(value.to_owned()),
        Err(_) => Err(Error::new(format!("\"authority={value}\" is not a host with or without a port"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<UpstreamDeclaration> {
        UpstreamDeclaration::parse(&line.split_whitespace().map(str::as_bytes).collect::<Vec<_>>())
    }

    #[test]
    fn a_name_stands_for_a_server() {
        let upstream = parse("outbound|80||a.svc 10.0.0.1:81").unwrap();
        assert_eq!((&*upstream.name, &*upstream.server), (&b"outbound|80||a.svc"[..], &b"10.0.0.1:81"[..]));
        assert_eq!((upstream.tls, upstream.verify, upstream.sni, upstream.authority), (None, None, None, None));
    }

    #[test]
    fn without_a_server_the_name_is_one() {
        let upstream = parse("api.test:443 tls=on verify=off sni=a.test authority=b.test:8443").unwrap();
        assert_eq!(upstream.name, upstream.server);
        assert_eq!((upstream.tls, upstream.verify), (Some(true), Some(false)));
        assert_eq!((upstream.sni.as_deref(), upstream.authority.as_deref()), (Some("a.test"), Some("b.test:8443")));
        assert_eq!(parse("a unix:/a=b tls=off").unwrap().server, b"unix:/a=b");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (line, reason) in [
            ("", "has an empty name"),
            ("a b c", "has no parameter \"c\"; there are tls, sni, authority and verify"),
            ("a b ssl=on", "has no parameter \"ssl=on\""),
            ("a tls=yes", "\"tls=yes\" is neither on nor off"),
            ("a verify=", "\"verify=\" is neither on nor off"),
            ("a tls=on tls=on", "sets \"tls\" twice"),
            ("a sni=", "\"sni=\" is not a server's name"),
            ("a sni=a.test:443", "\"sni=a.test:443\" is not a server's name; write it without a port"),
            ("a authority=", "\"authority=\" is not a host"),
            ("a authority=a/b", "\"authority=a/b\" is not a host"),
            ("a tls=off sni=b", "has tls=off, so sni= and verify= mean nothing"),
            ("a tls=off verify=on", "has tls=off, so sni= and verify= mean nothing"),
        ] {
            let error = parse(line).unwrap_err().to_string();
            assert!(error.contains(reason), "{line}: {error}");
        }
    }
}
