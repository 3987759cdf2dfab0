//! Which server of an `upstream` block a call goes to: nginx's smooth weighted round robin, over what one worker has seen.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use ngx_bindings::inet::Address;
use ngx_bindings::upstream::Server;

/// The servers of one block.
pub struct Balancer(RefCell<Vec<Peer>>);

struct Peer {
    server: Server,
    /// How far its turn has come.
    current: i64,
    /// Its weight, less what failures cost it; it recovers turn by turn.
    effective: i64,
    failures: u32,
    last_failure: Option<Instant>,
}

impl Balancer {
    /// Starts with no server preferred.
    pub fn new(servers: Vec<Server>) -> Self {
        let peer = |server: Server| Peer {
            current: 0,
            effective: server.weight.into(),
            failures: 0,
            last_failure: None,
            server,
        };
        Self(RefCell::new(servers.into_iter().map(peer).collect()))
    }

    /// The next server that was not `tried` yet and has not failed too often; backups only when there is no other.
    pub fn pick(&self, tried: &[usize]) -> Option<(usize, Address)> {
        let mut peers = self.0.borrow_mut();
        let now = Instant::now();
        // One that is alone is always tried: there is nothing to save by not asking it.
        let alone = peers.len() == 1;
        let usable = |index: usize, peer: &Peer| !tried.contains(&index) && (alone || !peer.is_out(now));
        let backup = !peers.iter().enumerate().any(|(index, peer)| !peer.server.backup && usable(index, peer));
        let mut total = 0;
        let mut best: Option<usize> = None;
        for index in 0..peers.len() {
            let peer = &mut peers[index];
            if peer.server.backup != backup || !usable(index, peer) {
                continue;
            }
            peer.current += peer.effective;
            total += peer.effective;
            peer.effective = (peer.effective + 1).min(peer.server.weight.into());
            if best.is_none_or(|best| peers[index].current > peers[best].current) {
                best = Some(index);
            }
        }
        let best = best?;
        peers[best].current -= total;
        Some((best, peers[best].server.address.clone()))
    }

    /// Tells how connecting to a server went.
    pub fn report(&self, index: usize, connected: bool) {
        let peer = &mut self.0.borrow_mut()[index];
        if connected {
            peer.failures = 0;
            return;
        }
        let now = Instant::now();
        if peer.last_failure.is_some_and(|last| now - last > peer.fail_timeout()) {
            peer.failures = 0;
        }
        peer.failures += 1;
        peer.last_failure = Some(now);
        if let Some(cost) = peer.server.weight.checked_div(peer.server.max_fails) {
            peer.effective = (peer.effective - i64::from(cost)).max(0);
        }
    }
}

impl Peer {
    fn fail_timeout(&self) -> Duration {
        Duration::from_secs(self.server.fail_timeout)
    }

    fn is_out(&self, now: Instant) -> bool {
        let limit = self.server.max_fails;
        limit > 0 && self.failures >= limit && self.last_failure.is_some_and(|last| now - last <= self.fail_timeout())
    }
}
