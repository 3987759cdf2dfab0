//! Connects to a target: resolves a name to addresses, connects to an address, and starts TLS.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ngx_bindings::connection::Connection;
use ngx_bindings::inet::Address;
use ngx_bindings::resolver::{ResolveError, Resolver};
use ngx_bindings::ssl::{Tls, TlsError};
use ngx_bindings::upstream;
use proxy_wasm_host::outgoing::balancer::{Balancer, Server};
use proxy_wasm_host::outgoing::{Target, TlsServer};

use super::error::CallError;

/// The servers that a call may try, in this order.
pub enum Candidates {
    /// One address, or the addresses of a name.
    Addresses(VecDeque<Address>),
    /// The servers of an `upstream` block, and the indices of those that were tried.
    Balanced(Rc<Balancer<Address>>, Vec<usize>),
}

impl Candidates {
    /// Returns the candidates of a target that is not an `upstream` block.
    pub async fn of(target: &Target, default_port: u16, resolver: Option<Resolver>) -> Result<Self, CallError> {
        if let Some(address) = address(target, default_port) {
            return Ok(Self::Addresses(VecDeque::from([address])));
        }
        let Target::Host(host, port) = target else { return Ok(Self::Addresses(VecDeque::new())) };
        let failed = |error| CallError::Resolve(host.clone(), error);
        let resolving = resolver.ok_or(ResolveError::NoResolver).and_then(|resolver| resolver.resolve(host));
        let addresses = resolving.map_err(failed)?.await.map_err(failed)?;
        let port = port.unwrap_or(default_port);
        Ok(Self::Addresses(addresses.into_iter().map(|address| address.with_port(port)).collect()))
    }

    /// Returns the next server to try.
    pub fn next(&mut self) -> Option<Address> {
        match self {
            Self::Addresses(addresses) => addresses.pop_front(),
            Self::Balanced(balancer, tried) => {
                let (index, address) = balancer.pick(tried, Instant::now())?;
                tried.push(index);
                Some(address)
            }
        }
    }

    /// Tells the balancer whether the connection to the last server was made.
    pub fn report(&self, connected: bool) {
        if let Self::Balanced(balancer, tried) = self
            && let Some(&last) = tried.last()
        {
            balancer.report(last, connected, Instant::now());
        }
    }
}

/// Returns the address of a target that needs no resolver.
fn address(target: &Target, default_port: u16) -> Option<Address> {
    match target {
        Target::Ip(ip, port) => Some(Address::Ip((*ip, port.unwrap_or(default_port)).into())),
        Target::Unix(path) => Some(Address::Unix(path.clone())),
        Target::Upstream(_) | Target::Host(..) => None,
    }
}

/// Whether the configuration has an `upstream` block of this name.
pub fn is_block(name: &str) -> bool {
    upstream::servers(name).is_some()
}

/// Makes a balancer over the servers of an `upstream` block.
pub fn balancer(name: &str) -> Balancer<Address> {
    let servers = upstream::servers(name).unwrap_or_default();
    Balancer::new(servers.into_iter().map(|server| Server {
        address: server.address,
        weight: server.weight,
        max_fails: server.max_fails,
        fail_timeout: Duration::from_secs(server.fail_timeout),
        backup: server.backup,
    }))
}

/// How TLS is spoken with a server: which certificates are trusted, the server's name, the
/// protocols.
#[derive(Clone, Copy)]
pub struct Secure<'a> {
    /// The trusted certificates. `None` only if the configuration could not be read, and then nginx
    /// does not start.
    pub tls: Option<&'a Tls>,
    /// The name that the server's certificate must have, and whether that is checked.
    pub server: &'a TlsServer,
    /// The protocols to offer, in ALPN's wire format.
    pub protocols: &'a [u8],
}

/// Connects to one address.
pub async fn connect(address: &Address, secure: Option<Secure<'_>>) -> Result<Connection, CallError> {
    let mut connection = Connection::open(address).map_err(CallError::Connect)?;
    connection.connected().await.map_err(CallError::Connect)?;
    if let Some(Secure { tls, server, protocols }) = secure {
        let tls = tls.ok_or(CallError::Tls(TlsError::Handshake))?;
        tls.handshake(&mut connection, &server.name, server.verify, protocols).await.map_err(CallError::Tls)?;
    }
    Ok(connection)
}
