//! Spec, "Foreign function interface": the functions that this host offers by name.
//!
//! | name | argument | result |
//! |---|---|---|
//! | `clear_route_cache` | | nothing: nginx chose the location before any plugin ran, and keeps it |
//! | `log_level` | | the lowest level that is written now: `trace`, `debug`, `info`, `warn`, `error` or `critical` |
//! | `resolve` | a host name | a number, 4 bytes little-endian |
//!
//! After `resolve`, the host calls `proxy_on_foreign_function` with that number as the function and
//! the addresses as its argument, one per line, or an empty text if there are none.

use ngx_bindings::inet::Address;
use ngx_bindings::log::Level;
use ngx_bindings::resolver::{ResolveError, Resolver};
use proxy_wasm_host::abi::{LogLevel, Status};
use proxy_wasm_host::host::{ForeignFunctions, Logging, Origin, Result};
use proxy_wasm_host::outgoing::target::has_host_length;

use super::Caller;
use super::http_calls::{log, resolver};
use crate::calls::Kind;
use crate::context::{NginxHost, RequestStream};
use crate::task::{OnQuit, spawn};

impl ForeignFunctions<RequestStream> for NginxHost {
    fn call_foreign_function(
        &mut self,
        origin: Origin<'_, RequestStream>,
        name: &[u8],
        arguments: &[u8],
    ) -> Result<Vec<u8>> {
        match name {
            b"clear_route_cache" => Ok(Vec::new()),
            b"log_level" => Ok(level_name(self.log_level(origin.stream)).into()),
            b"resolve" => self.resolve(&origin, arguments),
            _ => Err(Status::NotFound),
        }
    }
}

impl NginxHost {
    fn resolve(&self, origin: &Origin<'_, RequestStream>, host: &[u8]) -> Result<Vec<u8>> {
        let host = str::from_utf8(host).ok().filter(|host| has_host_length(host));
        let host = host.ok_or(Status::BadArgument)?.to_owned();
        if self.of_request && origin.stream.is_none() {
            // An instance of a request starts. The worker's instance has looked this up.
            return Ok(self.client.next_id().to_le_bytes().into());
        }
        let (caller, resolver) = (self.caller(origin)?, resolver(origin.stream));
        if resolver.is_none() {
            log(origin.stream, format_args!("no resolver defined to resolve {host}"));
            return Err(Status::InternalFailure);
        }
        let id = self.client.next_id();
        let task = spawn(OnQuit::Forget, async move {
            let answer = addresses(&host, resolver).await;
            tell(&caller, id, &host, answer);
        });
        self.calls_of(origin.stream).insert(id, Kind::Http, task);
        Ok(id.to_le_bytes().into())
    }
}

async fn addresses(host: &str, resolver: Option<Resolver>) -> std::result::Result<Vec<Address>, ResolveError> {
    resolver.ok_or(ResolveError::NoResolver)?.resolve(host)?.await
}

fn tell(caller: &Caller, id: u32, host: &str, answer: std::result::Result<Vec<Address>, ResolveError>) {
    caller.finish(id);
    let addresses = answer.unwrap_or_else(|error| {
        caller.log(Level::Error, format_args!("{host} could not be resolved ({error})"));
        Vec::new()
    });
    let ip = |address: &Address| match address {
        Address::Ip(address) => Some(address.ip().to_string()),
        Address::Unix(_) => None,
    };
    let lines: Vec<String> = addresses.iter().filter_map(ip).collect();
    caller.call(|plugin, http| plugin.on_foreign_function(http, id, lines.join("\n").into()));
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
    }
}
