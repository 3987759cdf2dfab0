//! `ngx_http_upstream.h`: the servers of an `upstream` block.
//!
//! Only the servers' names and parameters from the configuration are read. How nginx spreads its
//! own requests over them is kept in structures of its balancing modules, some of them in shared
//! memory under their locks.

use nginx_sys::{self as sys, ngx_http_upstream_main_conf_t, ngx_http_upstream_server_t, ngx_http_upstream_srv_conf_t};

use crate::inet::Address;
use crate::{cycle, string};

/// A `server` of an `upstream` block, or one of the addresses of its name.
#[derive(Clone, Debug)]
pub struct Server {
    /// The server's address.
    pub address: Address,
    /// `weight`: the server's share of requests.
    pub weight: u32,
    /// `max_fails`: the number of failures within `fail_timeout` that takes the server out; 0 for
    /// never.
    pub max_fails: u32,
    /// `fail_timeout`, in seconds: the server also stays out for this long.
    pub fail_timeout: u64,
    /// `backup`: whether the server is used only when no other can be.
    pub backup: bool,
}

/// The servers of a block, except those that are `down`; `None` if there is no block of that name.
pub fn servers(name: &str) -> Option<Vec<Server>> {
    // SAFETY: the module's configuration and its arrays live as long as the cycle. An `upstream`
    // block has `servers`; a block that `proxy_pass` made implicitly does not.
    unsafe {
        let main: *mut ngx_http_upstream_main_conf_t =
            cycle::current_main_conf(&raw const sys::ngx_http_upstream_module);
        let upstreams = main.as_ref()?.upstreams.as_slice::<*mut ngx_http_upstream_srv_conf_t>();
        let block = upstreams.iter().map(|block| &**block).find(|block| {
            !block.servers.is_null() && string::bytes(block.host).eq_ignore_ascii_case(name.as_bytes())
        })?;
        let servers = (*block.servers).as_slice::<ngx_http_upstream_server_t>().iter();
        Some(servers.filter(|server| server.down == 0).flat_map(|server| addresses(server)).collect())
    }
}

/// # Safety
///
/// `server` belongs to a configuration that is alive.
unsafe fn addresses(server: &ngx_http_upstream_server_t) -> Vec<Server> {
    if server.addrs.is_null() {
        return Vec::new();
    }
    // SAFETY: a server has `naddrs` addresses in the configuration's pool.
    let addresses = unsafe { std::slice::from_raw_parts(server.addrs, server.naddrs) };
    let with = |address| Server {
        address,
        weight: server.weight as u32,
        max_fails: server.max_fails as u32,
        fail_timeout: server.fail_timeout as u64,
        backup: server.backup() != 0,
    };
    // SAFETY: as above.
    addresses.iter().filter_map(|address| unsafe { Address::from_addr(address) }).map(with).collect()
}
