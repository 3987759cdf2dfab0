//! `upstream.*`. If several servers were tried, of the last one.
//!
//! Read through variables, because nginx and OpenResty of one version lay out their upstream
//! structures differently. Only what no variable has comes from the connection, which nginx gives up
//! when the response is over.

use std::borrow::Cow;

use ngx_bindings::{Request, upstream};

use super::connection::of_certificates;
use super::value::{Value, count, int, last, nanoseconds, owned, parse, text};
use crate::worker::MainConf;

pub fn of_upstream<'r>(request: Request<'r>, name: &[u8]) -> Value<'r> {
    let connection = || request.upstream_connection();
    match name {
        b"address" => request.variable(b"upstream_addr").map(|addresses| Cow::Borrowed(last(addresses))),
        b"port" => {
            last(request.variable(b"upstream_addr")?).rsplit(|&c| c == b':').next().and_then(parse).and_then(int)
        }
        b"local_address" => owned(connection()?.local_address()?),
        b"tls_version" => owned(connection()?.tls_version()?.to_vec()),
        b"request_attempt_count" => int(request.variable(b"upstream_addr").map_or(0, count) as i64),
        b"cx_pool_ready_duration" => nanoseconds(last(request.variable(b"upstream_connect_time")?)).and_then(int),
        b"transport_failure_reason" => {
            request.variable(b"upstream_addr")?;
            text(Failure::of(request).map_or("", Failure::reason))
        }
        b"num_endpoints" => num_endpoints(MainConf::proxy_host(request)?).and_then(int),
        _ => of_certificates(name, || connection()?.certificate(), || connection()?.peer_certificate()),
    }
}

/// The number of servers of the `upstream` block, or the one server that `proxy_pass` names.
fn num_endpoints(name: &[u8]) -> Option<i64> {
    Some(upstream::servers(str::from_utf8(name).ok()?).map_or(1, |servers| servers.len() as i64))
}

/// Why an upstream gave no response.
#[derive(Clone, Copy, Debug)]
pub enum Failure {
    /// All servers are out for now.
    NoneHealthy,
    /// There was no connection.
    Connect,
    /// The connection ended, or brought what is not a response.
    Ended,
    /// The response took too long.
    Timeout,
}

impl Failure {
    pub fn of(request: Request) -> Option<Self> {
        let of_last = |name: &[u8]| request.variable(name).map(last);
        let (address, status) = (of_last(b"upstream_addr")?, of_last(b"upstream_status")?);
        match status {
            // A header came, so the status is the server's.
            _ if of_last(b"upstream_header_time")? != b"-" => None,
            b"504" => Some(Self::Timeout),
            b"502" if of_last(b"upstream_connect_time") != Some(b"-") => Some(Self::Ended),
            // Where no server was chosen, nginx writes the name of the `upstream` block.
            b"502" if !address.iter().any(|c| matches!(c, b':' | b'/')) => Some(Self::NoneHealthy),
            b"502" => Some(Self::Connect),
            _ => None,
        }
    }

    /// Envoy's bit in `response.flags`.
    pub fn flag(self) -> i64 {
        match self {
            Self::NoneHealthy => 0x2,
            Self::Timeout => 0x4,
            Self::Connect => 0x20,
            Self::Ended => 0x40,
        }
    }

    /// Envoy's words in `response.code_details`.
    pub fn details(self) -> &'static str {
        match self {
            Self::NoneHealthy => "no_healthy_upstream",
            Self::Timeout => "response_timeout",
            Self::Connect => "upstream_reset_before_response_started{connection_failure}",
            Self::Ended => "upstream_reset_before_response_started{connection_termination}",
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Connect => "connection failure",
            Self::NoneHealthy | Self::Timeout | Self::Ended => "",
        }
    }
}
