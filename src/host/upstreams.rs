//! The servers that a request may go to, an extension of the ABI that Higress has.

use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{Result, Upstreams};
use proxy_wasm_host::pairs::PairsBuf;

use crate::context::RequestStream;

impl Upstreams for RequestStream {
    fn upstream_hosts(&self) -> Result<PairsBuf> {
        let upstream = self.request().location_upstream().ok_or(Status::NotFound)?;
        let peers = upstream.peers().ok_or(Status::NotFound)?;
        let describe = |peer: &ngx_bindings::peers::Peer| {
            let health = if peer.healthy { "Healthy" } else { "Unhealthy" };
            format!(r#"{{"health_status":"{health}","weight":{},"backup":{}}}"#, peer.weight, peer.backup)
        };
        Ok(peers.iter().map(|peer| (peer.address.to_string(), describe(peer))).collect())
    }

    fn override_upstream_host(&mut self, address: &[u8]) -> Result {
        self.ctx().rare.make().chosen_host.replace(Some(address.to_vec()));
        Ok(())
    }
}
