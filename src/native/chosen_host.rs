//! `proxy_set_upstream_override_host`: the server that a plugin has chosen for a request.
//!
//! This module's function stands in front of those by which upstreams' balancers begin a request. The
//! balancer begins all the same, and chooses where the plugin's server fails.

use ngx_bindings::peers::{Balancers, Upstream};
use ngx_bindings::sys::{ngx_http_request_t, ngx_http_upstream_srv_conf_t, ngx_int_t};
use ngx_bindings::{Conf, Request, rc};

use crate::context::RequestContext;
use crate::guard::guard;
use crate::worker::MainConf;

/// Puts the function in front of all upstreams' balancers, when nginx has read all of `http`.
pub fn register(cf: Conf, main: &MainConf) {
    main.balancers.get_or_init(|| Balancers::precede(cf, Some(begin)));
}

unsafe extern "C" fn begin(r: *mut ngx_http_request_t, upstream: *mut ngx_http_upstream_srv_conf_t) -> ngx_int_t {
    // SAFETY: nginx passes a request whose upstream it begins.
    let request = unsafe { Request::from_nginx(r) };
    // SAFETY: nginx passes one of the configuration's.
    let upstream = unsafe { Upstream::from_nginx(upstream) };
    guard(rc::ERROR, || begin_with(request, upstream))
}

fn begin_with(request: Request<'_>, upstream: Upstream<'_>) -> ngx_int_t {
    let Some(balancers) = MainConf::of(request).balancers.get() else { return rc::ERROR };
    let begun = balancers.begin(request, upstream);
    if begun == rc::OK && RequestContext::may_be_of(request) {
        choose(request, upstream);
    }
    begun
}

fn choose(request: Request<'_>, upstream: Upstream<'_>) {
    // A subrequest of `slice` fetches a part of the same response.
    let owner = if request.is_slice() { request.main() } else { request };
    let rare = RequestContext::of(owner).filter(|ctx| ctx.serves()).and_then(|ctx| ctx.rare.get());
    let Some(chosen) = rare.and_then(|rare| rare.chosen_host.borrow().clone()) else { return };
    let mut peers = upstream.peers().into_iter().flatten().filter(|peer| peer.healthy);
    if let Some(peer) = peers.find(|peer| peer.address.to_string().as_bytes() == chosen) {
        upstream.choose(request, &peer.address);
    }
}
