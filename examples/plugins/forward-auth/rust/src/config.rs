//! The configuration: which service is asked, and which fields go where.

use std::time::Duration;

use serde::Deserialize;

#[derive(Debug, Default, PartialEq)]
pub struct Config {
    pub service: Service,
    pub timeout: Duration,
    /// Of the request, for the service.
    pub request_headers: Vec<String>,
    /// Of the answer, for the upstream.
    pub upstream_headers: Vec<String>,
    /// Of the answer, for a client that is refused.
    pub client_headers: Vec<String>,
}

/// What a URI says.
#[derive(Debug, Default, PartialEq)]
pub struct Service {
    pub scheme: String,
    pub authority: String,
    /// With the query.
    pub path: String,
}

#[derive(Deserialize)]
struct Written {
    uri: String,
    #[serde(default = "three_seconds")]
    timeout: i64,
    #[serde(default)]
    request_headers: Vec<String>,
    #[serde(default)]
    upstream_headers: Vec<String>,
    #[serde(default)]
    client_headers: Vec<String>,
}

fn three_seconds() -> i64 {
    3000
}

impl Config {
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let written: Written = serde_json::from_slice(json).map_err(|e| format!("bad configuration: {e}"))?;
        let timeout = u64::try_from(written.timeout)
            .ok()
            .filter(|timeout| (1..=60000).contains(timeout))
            .ok_or_else(|| format!("bad timeout {}: want 1 to 60000", written.timeout))?;
        Ok(Self {
            service: Service::parse(&written.uri).ok_or_else(|| format!("bad uri \"{}\"", written.uri))?,
            timeout: Duration::from_millis(timeout),
            request_headers: written.request_headers,
            upstream_headers: written.upstream_headers,
            client_headers: written.client_headers,
        })
    }
}

impl Service {
    fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://").filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let slash = if path.starts_with('/') { "" } else { "/" };
        (!authority.is_empty()).then(|| Self {
            scheme: scheme.to_owned(),
            authority: authority.to_owned(),
            path: format!("{slash}{path}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(json: &str) -> String {
        Config::parse(json.as_bytes()).unwrap_err()
    }

    fn service(uri: &str) -> Option<(String, String, String)> {
        Service::parse(uri).map(|service| (service.scheme, service.authority, service.path))
    }

    #[test]
    fn a_uri_is_enough() {
        let config = Config::parse(br#"{"uri": "http://127.0.0.1:1984/auth"}"#).unwrap();
        assert_eq!(config.service.authority, "127.0.0.1:1984");
        assert_eq!(config.timeout, Duration::from_secs(3));
        assert!(config.request_headers.is_empty());
    }

    #[test]
    fn a_uri_has_a_scheme_a_host_and_maybe_a_path() {
        let parts = |scheme: &str, host: &str, path: &str| Some((scheme.to_owned(), host.to_owned(), path.to_owned()));
        assert_eq!(service("http://auth"), parts("http", "auth", "/"));
        assert_eq!(service("https://a:8443/b?c=/d"), parts("https", "a:8443", "/b?c=/d"));
        assert_eq!(service("http://[::1]:80?q"), parts("http", "[::1]:80", "/?q"));
        for uri in ["", "auth", "ftp://a/", "http:///path", "http://"] {
            assert_eq!(service(uri), None, "{uri}");
        }
    }

    #[test]
    fn what_is_refused_is_named() {
        assert!(reason("{}").contains("missing field `uri`"));
        assert_eq!(reason(r#"{"uri": "auth"}"#), "bad uri \"auth\"");
        assert_eq!(reason(r#"{"uri": "http://a", "timeout": 0}"#), "bad timeout 0: want 1 to 60000");
        assert_eq!(reason(r#"{"uri": "http://a", "timeout": 60001}"#), "bad timeout 60001: want 1 to 60000");
    }
}
