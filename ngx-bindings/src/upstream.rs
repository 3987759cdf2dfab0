//! `ngx_http_upstream.h`: the servers of an `upstream` block.
//!
//! Only the servers' names and parameters from the configuration are read. How nginx spreads its
//! own requests over them is kept in structures of its balancing modules, some of them in shared
//! memory under their locks.

use nginx_sys::{
    self as sys, ngx_http_upstream_main_conf_t, ngx_http_upstream_server_t, ngx_http_upstream_srv_conf_t, ngx_uint_t,
};

use crate::inet::Address;
use crate::modules::HttpModule;
use crate::{Conf, array, cycle};

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
    cycle::with_main_conf(module(), |main| {
        let block = block(main, name)?;
        // SAFETY: a block's servers are an array in the configuration's pool.
        let servers: &[ngx_http_upstream_server_t] = unsafe { array::elements(block.servers) };
        Some(servers.iter().filter(|server| server.down == 0).flat_map(addresses).collect())
    })
}

/// Whether the configuration that nginx reads has a block of this name.
pub fn is_block(cf: Conf, name: &str) -> bool {
    block(cf.main_conf(module()), name).is_some()
}

fn module() -> HttpModule<ngx_http_upstream_main_conf_t> {
    let module = &raw const sys::ngx_http_upstream_module;
    // SAFETY: the module is linked in, and this is the type of its configuration.
    unsafe { HttpModule::new(module) }
}

fn block<'a>(main: &'a ngx_http_upstream_main_conf_t, name: &str) -> Option<&'a ngx_http_upstream_srv_conf_t> {
    // SAFETY: the array has pointers to the configurations of blocks, which live as long.
    let blocks: &[&ngx_http_upstream_srv_conf_t] = unsafe { array::elements(&raw const main.upstreams) };
    let mut blocks = blocks.iter().filter(|block| is_written(block));
    blocks.find(|block| block.host.as_bytes().eq_ignore_ascii_case(name.as_bytes())).copied()
}

/// Whether this is a block of the configuration. nginx makes one for a server that `proxy_pass` names, too,
/// which has `servers` if that is an address.
pub(crate) fn is_written(block: &ngx_http_upstream_srv_conf_t) -> bool {
    block.flags & sys::NGX_HTTP_UPSTREAM_CREATE as ngx_uint_t != 0
}

fn addresses(server: &ngx_http_upstream_server_t) -> Vec<Server> {
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
    addresses
        .iter()
        .filter_map(|address| unsafe { Address::from_raw(address.sockaddr, address.socklen) })
        .map(with)
        .collect()
}
