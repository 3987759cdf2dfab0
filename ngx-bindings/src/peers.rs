//! `ngx_http_upstream_round_robin.h`: the peers of an upstream as nginx's balancers see them, and a
//! peer that is chosen for one request.

use std::ffi::c_void;

use nginx_sys::{
    self as sys, ngx_http_request_t, ngx_http_upstream_init_peer_pt, ngx_http_upstream_main_conf_t,
    ngx_http_upstream_srv_conf_t, ngx_int_t, ngx_uint_t, sockaddr, socklen_t,
};

use crate::guard::guard;
use crate::inet::{Address, SocketAddress};
use crate::live::Live;
use crate::modules::HttpModule;
use crate::upstream::is_written;
use crate::{Conf, Request, array, rc};

type EachPeer = unsafe extern "C" fn(*mut c_void, *const sockaddr, socklen_t, ngx_uint_t, ngx_int_t, ngx_int_t);

// Defined in peers_bits.c.
unsafe extern "C" {
    fn ngx_bindings_upstream_of(r: *mut ngx_http_request_t) -> *mut ngx_http_upstream_srv_conf_t;
    fn ngx_bindings_upstream_peers(
        upstream: *mut ngx_http_upstream_srv_conf_t,
        each: EachPeer,
        data: *mut c_void,
    ) -> ngx_int_t;
    fn ngx_bindings_upstream_choose(
        r: *mut ngx_http_request_t,
        upstream: *mut ngx_http_upstream_srv_conf_t,
        address: *const sockaddr,
        len: socklen_t,
        name: *const u8,
        name_len: usize,
    ) -> ngx_int_t;
}

/// A peer of an upstream.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: Address,
    /// Its share of requests.
    pub weight: u32,
    /// Whether the balancer would choose it now: it is not `down`, and has not failed too often.
    pub healthy: bool,
    /// Whether it is used only when no other can be.
    pub backup: bool,
}

/// An `upstream` block, or what nginx has made of a server that `proxy_pass` names.
#[derive(Clone, Copy)]
pub struct Upstream<'r>(Live<'r, ngx_http_upstream_srv_conf_t>);

impl<'r> Request<'r> {
    /// The upstream that the location passes requests to; `None` if it passes none, or if variables
    /// name it.
    pub fn location_upstream(self) -> Option<Upstream<'r>> {
        // SAFETY: the request is valid.
        let upstream = unsafe { ngx_bindings_upstream_of(self.as_ptr()) };
        // SAFETY: null, or part of the configuration, which the request keeps.
        unsafe { Live::new(upstream) }.map(Upstream)
    }
}

impl<'r> Upstream<'r> {
    /// The upstream that nginx passes to a function.
    ///
    /// # Safety
    ///
    /// It is valid for `'r`.
    pub unsafe fn from_nginx(upstream: *mut ngx_http_upstream_srv_conf_t) -> Self {
        // SAFETY: by this function's contract.
        Self(unsafe { Live::of(upstream) })
    }

    /// The name of the `upstream` block; `None` for what nginx has made of a server.
    pub fn block_name(self) -> Option<&'r [u8]> {
        let upstream = self.0.get();
        is_written(upstream).then(|| upstream.host.as_bytes())
    }

    /// Its peers; `None` if its balancer is not one of nginx's.
    pub fn peers(self) -> Option<Vec<Peer>> {
        let mut peers = Vec::new();
        let data = (&raw mut peers).cast();
        // SAFETY: the upstream is valid, and the function gets the list.
        let known = unsafe { ngx_bindings_upstream_peers(self.0.as_ptr(), add_peer, data) };
        (known == 1).then_some(peers)
    }

    /// Makes a request, whose balancer has begun, try this address before the balancer chooses.
    pub fn choose(self, request: Request<'_>, address: &Address) -> Option<()> {
        let (raw, len) = SocketAddress::new(address)?;
        let name = address.to_string();
        let (r, upstream) = (request.as_ptr(), self.0.as_ptr());
        // SAFETY: the balancer has set the request's peer; all else is copied.
        let rc = unsafe {
            ngx_bindings_upstream_choose(r, upstream, (&raw const raw).cast(), len, name.as_ptr(), name.len())
        };
        (rc == rc::OK).then_some(())
    }
}

unsafe extern "C" fn add_peer(
    data: *mut c_void,
    address: *const sockaddr,
    len: socklen_t,
    weight: ngx_uint_t,
    healthy: ngx_int_t,
    backup: ngx_int_t,
) {
    // SAFETY: `peers` passes its list.
    let peers = unsafe { &mut *data.cast::<Vec<Peer>>() };
    // SAFETY: nginx's peers have addresses.
    let address = unsafe { Address::from_raw(address, len) };
    guard((), || {
        peers.extend(address.map(|address| Peer {
            address,
            // 0 where the configuration names a server without a block.
            weight: u32::try_from(weight).unwrap_or(u32::MAX).max(1),
            healthy: healthy == 1,
            backup: backup == 1,
        }));
    });
}

/// The functions by which the balancers of all upstreams begin a request.
#[derive(Default)]
pub struct Balancers(Vec<(usize, ngx_http_upstream_init_peer_pt)>);

impl Balancers {
    /// Puts a function in front of them, while nginx reads its configuration and has prepared all
    /// upstreams.
    pub fn precede(cf: Conf, ours: ngx_http_upstream_init_peer_pt) -> Self {
        let module = &raw const sys::ngx_http_upstream_module;
        // SAFETY: the module is linked in, and this is the type of its configuration.
        let module = unsafe { HttpModule::<ngx_http_upstream_main_conf_t>::new(module) };
        let main = cf.main_conf(module);
        // SAFETY: the array has pointers to upstreams, which live as long as the configuration.
        let upstreams: &[*mut ngx_http_upstream_srv_conf_t] = unsafe { array::elements(&raw const main.upstreams) };
        let replace = |upstream: &*mut ngx_http_upstream_srv_conf_t| {
            // SAFETY: as above; nothing else refers to the upstream now.
            let peer = unsafe { &mut (**upstream).peer };
            (*upstream as usize, std::mem::replace(&mut peer.init, ours))
        };
        let mut replaced: Vec<_> = upstreams.iter().map(replace).collect();
        replaced.sort_unstable_by_key(|(upstream, _)| *upstream);
        Self(replaced)
    }

    /// Lets an upstream's own balancer begin a request.
    pub fn begin(&self, request: Request<'_>, upstream: Upstream<'_>) -> ngx_int_t {
        let upstream = upstream.0.as_ptr();
        let own = self.0.binary_search_by_key(&(upstream as usize), |(upstream, _)| *upstream);
        let own = own.ok().and_then(|place| self.0[place].1);
        // SAFETY: it is the upstream's own function, which nginx would have called with these.
        own.map_or(rc::ERROR, |own| unsafe { own(request.as_ptr(), upstream) })
    }
}
