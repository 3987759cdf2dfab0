//! Picks the server of an `upstream` block for a call: nginx's smooth weighted round robin, over
//! the failures that one process has seen.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// A server of an `upstream` block.
#[derive(Clone, Debug)]
pub struct Server<A> {
    /// The server's address.
    pub address: A,
    /// The server's weight.
    pub weight: u32,
    /// The number of failures within `fail_timeout` that takes the server out; 0 for never.
    pub max_fails: u32,
    /// The time in which failures are counted, and for which the server then stays out.
    pub fail_timeout: Duration,
    /// Whether the server is used only when no other can be.
    pub backup: bool,
}

/// The servers of one `upstream` block.
pub struct Balancer<A>(RefCell<Vec<Peer<A>>>);

struct Peer<A> {
    server: Server<A>,
    /// The current weight, as in nginx: it grows until the server is picked.
    current: i64,
    /// The effective weight: the weight, reduced by failures. It recovers with each pick.
    effective: i64,
    failures: u32,
    last_failure: Option<Instant>,
}

impl<A: Clone> Balancer<A> {
    /// Makes a balancer that prefers no server at first.
    pub fn new(servers: impl IntoIterator<Item = Server<A>>) -> Self {
        let peer = |server: Server<A>| Peer {
            current: 0,
            effective: server.weight.into(),
            failures: 0,
            last_failure: None,
            server,
        };
        Self(RefCell::new(servers.into_iter().map(peer).collect()))
    }

    /// Picks the next server that is not in `tried` and has not failed too often. Backup servers
    /// are picked only when there is no other.
    pub fn pick(&self, tried: &[usize], now: Instant) -> Option<(usize, A)> {
        let mut peers = self.0.borrow_mut();
        // A single server is always tried, because skipping it would save nothing.
        let alone = peers.len() == 1;
        let usable = |index: usize, peer: &Peer<A>| !tried.contains(&index) && (alone || !peer.is_out(now));
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

    /// Records whether connecting to a server succeeded.
    pub fn report(&self, index: usize, connected: bool, now: Instant) {
        let peer = &mut self.0.borrow_mut()[index];
        if connected {
            peer.failures = 0;
            return;
        }
        if peer.last_failure.is_some_and(|last| now - last > peer.server.fail_timeout) {
            peer.failures = 0;
        }
        peer.failures += 1;
        peer.last_failure = Some(now);
        if let Some(cost) = peer.server.weight.checked_div(peer.server.max_fails) {
            peer.effective = (peer.effective - i64::from(cost)).max(0);
        }
    }
}

impl<A> Peer<A> {
    fn is_out(&self, now: Instant) -> bool {
        let limit = self.server.max_fails;
        limit > 0
            && self.failures >= limit
            && self.last_failure.is_some_and(|last| now - last <= self.server.fail_timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: char, weight: u32) -> Server<char> {
        Server { address, weight, max_fails: 1, fail_timeout: Duration::from_secs(10), backup: false }
    }

    fn picked(balancer: &Balancer<char>, count: usize, now: Instant) -> String {
        (0..count).filter_map(|_| Some(balancer.pick(&[], now)?.1)).collect()
    }

    #[test]
    fn turns_are_smooth_and_by_weight() {
        let balancer = Balancer::new([server('a', 5), server('b', 1), server('c', 1)]);
        assert_eq!(picked(&balancer, 14, Instant::now()), "aabacaaaabacaa");
    }

    #[test]
    fn what_was_tried_is_not_picked_again() {
        let balancer = Balancer::new([server('a', 1), server('b', 1)]);
        let (first, _) = balancer.pick(&[], Instant::now()).unwrap();
        let (second, _) = balancer.pick(&[first], Instant::now()).unwrap();
        assert_ne!(first, second);
        assert_eq!(balancer.pick(&[first, second], Instant::now()), None);
    }

    #[test]
    fn a_server_that_failed_is_out_for_its_time() {
        let balancer = Balancer::new([server('a', 1), server('b', 1)]);
        let start = Instant::now();
        balancer.report(0, false, start);
        assert_eq!(picked(&balancer, 4, start + Duration::from_secs(10)), "bbbb");
        assert!(picked(&balancer, 4, start + Duration::from_secs(11)).contains('a'));
    }

    #[test]
    fn a_server_that_is_alone_is_never_out() {
        let balancer = Balancer::new([server('a', 1)]);
        let start = Instant::now();
        balancer.report(0, false, start);
        assert_eq!(picked(&balancer, 1, start), "a");
    }

    #[test]
    fn backups_serve_when_nobody_else_can() {
        let balancer = Balancer::new([server('a', 1), server('c', 1), Server { backup: true, ..server('b', 1) }]);
        let start = Instant::now();
        assert_eq!(picked(&balancer, 4, start), "acac");
        balancer.report(0, false, start);
        balancer.report(1, false, start);
        assert_eq!(picked(&balancer, 2, start), "bb");
        balancer.report(0, true, start);
        assert_eq!(picked(&balancer, 2, start), "aa");
    }
}
