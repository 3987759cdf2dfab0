//! `connection.*`, `source.*`, `destination.*`.

use std::borrow::Cow;

use ngx_bindings::Request;
use ngx_bindings::certificate::Certificate;

use super::value::{Value, integer, owned, text, variable};

pub fn of_connection<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"id" => integer(request, b"connection"),
        b"mtls" => owned(vec![u8::from(request.variable(b"ssl_client_verify") == Some(b"SUCCESS"))]),
        b"requested_server_name" => variable(request, b"ssl_server_name").or_else(|| text("")),
        b"tls_version" => variable(request, b"ssl_protocol"),
        b"subject_peer_certificate" => variable(request, b"ssl_client_s_dn"),
        b"peer_certificate" => variable(request, b"ssl_client_escaped_cert"),
        b"transport_failure_reason" => {
            request.variable(b"ssl_client_verify")?.strip_prefix(b"FAILED:").map(Cow::Borrowed)
        }
        _ => of_certificates(name, || request.certificate(), || request.client_certificate()),
    }
}

/// The properties of the certificates of either end of a connection.
pub fn of_certificates(
    name: &[u8],
    local: impl FnOnce() -> Option<Certificate>,
    peer: impl FnOnce() -> Option<Certificate>,
) -> Value<'static> {
    match name {
        b"subject_local_certificate" => owned(local()?.subject()?),
        b"dns_san_local_certificate" => owned(local()?.dns_name()?),
        b"uri_san_local_certificate" => owned(local()?.uri()?),
        b"subject_peer_certificate" => owned(peer()?.subject()?),
        b"dns_san_peer_certificate" => owned(peer()?.dns_name()?),
        b"uri_san_peer_certificate" => owned(peer()?.uri()?),
        b"sha256_peer_certificate_digest" => {
            owned(peer()?.sha256()?.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect())
        }
        _ => None,
    }
}

pub fn of_source<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"address" => address(request, b"remote_addr", b"remote_port"),
        b"port" => integer(request, b"remote_port"),
        _ => None,
    }
}

pub fn of_destination<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    match name {
        b"address" => address(request, b"server_addr", b"server_port"),
        b"port" => integer(request, b"server_port"),
        _ => None,
    }
}

fn address<'r>(request: Request<'r>, host: &[u8], port: &[u8]) -> Value<'r> {
    let host = request.variable(host)?;
    match request.variable(port) {
        // An IPv6 address stands in brackets, as in a URI.
        Some(port) if host.contains(&b':') && !host.starts_with(b"unix:") => {
            Some(Cow::Owned([b"[", host, b"]:", port].concat()))
        }
        Some(port) if !port.is_empty() => Some(Cow::Owned([host, b":", port].concat())),
        _ => Some(Cow::Borrowed(host)),
    }
}
