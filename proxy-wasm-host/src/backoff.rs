//! When a plugin whose instance failed is started again.
//!
//! After a trap in a callback the next request gets a fresh instance at once, as long as starts take
//! no more than a tenth of the worker's time. Otherwise one bad request would take the plugin away
//! from good ones. Starts and configurations that fail themselves are repeated ever more seldom,
//! because nothing is gained by repeating them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};

use crate::failure::Failure;
use crate::identity::Configuration;
use crate::limits::restart::{CONFIGURATIONS, FIRST_DELAY, LONGEST_DELAY, SHARE, SLACK};

/// A wait that grows with each failure: none after the first, then 1 s, then twice as long each
/// time.
#[derive(Clone, Copy, Debug, Default)]
pub struct GrowingDelay {
    /// Failures in a row.
    failures: u32,
    not_before: Option<Instant>,
}

impl GrowingDelay {
    /// Records a failure. Returns how long to wait; `None` if the next attempt may be made at once.
    pub fn failed(&mut self, now: Instant) -> Option<Duration> {
        let wait = self.failures.checked_sub(1).map(|doublings| FIRST_DELAY * (1 << doublings.min(6)));
        let wait = wait.map(|wait| wait.min(LONGEST_DELAY));
        self.not_before = wait.map(|wait| now + wait);
        self.failures = self.failures.saturating_add(1);
        wait
    }

    /// How long to wait from now on.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.not_before.and_then(|time| time.checked_duration_since(now)).filter(|wait| !wait.is_zero())
    }
}

/// When a VM's next instance may start, and its plugin contexts be configured.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    /// For starts that fail.
    starts: GrowingDelay,
    /// For configurations that fail. A configuration that has succeeded is not here.
    configurations: HashMap<Arc<Configuration>, GrowingDelay>,
    /// When the starts until now will have taken their share of the worker's time.
    paid_off: Option<Instant>,
}

impl Backoff {
    /// Must be called before an instance is made.
    pub fn start(&self, now: Instant) -> Result<(), Failure> {
        self.wait(now).map_or(Ok(()), |wait| Err(unavailable(wait)))
    }

    /// Must be called before a plugin context is created and configured.
    pub fn configure(&self, configuration: &Arc<Configuration>, now: Instant) -> Result<(), Failure> {
        let wait = self.configurations.get(configuration).and_then(|delay| delay.wait(now));
        wait.map_or(Ok(()), |wait| Err(unavailable(wait)))
    }

    /// How long it takes until an instance may start.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        self.starts.wait(now).max(self.wait_for_share(now))
    }

    /// How long it takes until starts have taken no more than their share of the worker's time.
    pub fn wait_for_share(&self, now: Instant) -> Option<Duration> {
        let owed = self.paid_off?.checked_duration_since(now)?;
        owed.checked_sub(SLACK).filter(|wait| !wait.is_zero())
    }

    /// Records the processor time that it took, until now, to start an instance, or to configure a
    /// plugin context in it.
    pub fn took(&mut self, took: Duration, now: Instant) {
        let from = self.paid_off.map_or(now, |paid_off| paid_off.max(now));
        self.paid_off = Some(from + took * SHARE);
    }

    /// Records that an instance has started.
    pub fn started(&mut self) {
        self.starts = GrowingDelay::default();
    }

    /// Records that an instance did not start. Returns how long no other will be started.
    pub fn start_failed(&mut self, now: Instant) -> Option<Duration> {
        self.starts.failed(now)
    }

    /// Records that a plugin context was configured.
    pub fn configured(&mut self, configuration: &Arc<Configuration>) {
        if !self.configurations.is_empty() {
            self.configurations.remove(configuration);
        }
    }

    /// Records that a configuration made the instance fail. Returns how long it will not be tried.
    pub fn configuration_failed(&mut self, configuration: &Arc<Configuration>, now: Instant) -> Option<Duration> {
        if let Some(delay) = self.configurations.get_mut(configuration) {
            return delay.failed(now);
        }
        if self.configurations.len() >= CONFIGURATIONS {
            self.configurations.retain(|_, delay| delay.wait(now).is_some());
        }
        if self.configurations.len() >= CONFIGURATIONS {
            // So many that fail are the plugin's failure, and not one configuration's.
            return self.starts.failed(now);
        }
        self.configurations.entry(Arc::clone(configuration)).or_default().failed(now)
    }
}

/// Measures processor time of this thread, which is what a start costs however busy the machine is.
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub fn start() -> Self {
        Self(processor_time())
    }

    /// The processor time since then.
    pub fn took(&self) -> Duration {
        processor_time().saturating_sub(self.0)
    }
}

fn processor_time() -> Duration {
    // The clock exists, so this cannot fail.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The failure of what is not tried for a time.
pub(crate) fn unavailable(wait: Duration) -> Failure {
    // Rounded up, so that a caller who waits this long does not come too early.
    let retry_in_ms = wait.as_nanos().div_ceil(1_000_000);
    Failure::Unavailable { retry_in_ms: u32::try_from(retry_in_ms).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn configuration(bytes: &[u8]) -> Arc<Configuration> {
        Arc::new(Configuration { bytes: bytes.into(), plugin: None })
    }

    /// How often an instance that fails at once can be started in a time, if a start takes so long.
    fn starts_in(time: Duration, cost: Duration) -> (usize, Duration) {
        let (mut backoff, begin) = (Backoff::default(), Instant::now());
        let (mut now, mut starts, mut longest) = (begin, 0, Duration::ZERO);
        while now - begin < time {
            assert_eq!(backoff.start(now), Ok(()));
            now += cost;
            backoff.took(cost, now);
            backoff.started();
            starts += 1;
            let wait = backoff.wait(now).unwrap_or_default();
            longest = longest.max(wait);
            now += wait;
        }
        (starts, longest)
    }

    #[test]
    fn starts_take_a_tenth_of_the_time_whatever_one_costs() {
        for cost in [MS / 10, 2 * MS, 50 * MS, 300 * MS] {
            let (starts, _) = starts_in(100_000 * MS, cost);
            let share = cost.as_secs_f64() * starts as f64 / 100.0;
            assert!((0.09..0.104).contains(&share), "{cost:?}: {share}");
        }
    }

    #[test]
    fn a_cheap_start_waits_for_nothing_that_a_client_notices() {
        assert_eq!(starts_in(3000 * MS, MS / 10).1, 9 * MS / 10);
        assert_eq!(starts_in(3000 * MS, 2 * MS).1, 18 * MS);
        // The first starts wait for nothing at all.
        assert_eq!(starts_in(9 * MS, MS / 10).1, Duration::ZERO);
    }

    #[test]
    fn an_expensive_start_waits_ten_times_as_long_as_it_takes() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.took(300 * MS, now);
        assert_eq!(backoff.wait(now), Some(2900 * MS));
        assert_eq!(backoff.start(now), Err(Failure::Unavailable { retry_in_ms: 2900 }));
        assert_eq!(backoff.start(now + 2899 * MS), Err(Failure::Unavailable { retry_in_ms: 1 }));
        assert_eq!(backoff.start(now + 2900 * MS), Ok(()));
    }

    #[test]
    fn starts_that_fail_wait_longer_and_longer() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..9 {
            let wait = backoff.wait(now).unwrap_or_default();
            now += wait;
            assert_eq!(backoff.start(now), Ok(()));
            backoff.start_failed(now);
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [0, 0, 1, 2, 4, 8, 16, 32, 60]);
        backoff.started();
        assert_eq!(backoff.start(now), Ok(()));
        assert_eq!(backoff.start_failed(now), None);
    }

    #[test]
    fn a_configuration_that_fails_keeps_only_itself_waiting() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let (bad, good) = (configuration(b"bad"), configuration(b"good"));
        assert_eq!(backoff.configuration_failed(&bad, now), None);
        assert_eq!(backoff.configure(&bad, now), Ok(()));
        assert_eq!(backoff.configuration_failed(&bad, now), Some(FIRST_DELAY));
        assert_eq!(backoff.configure(&bad, now), Err(Failure::Unavailable { retry_in_ms: 1000 }));
        assert_eq!((backoff.start(now), backoff.configure(&good, now)), (Ok(()), Ok(())));
        let later = now + FIRST_DELAY;
        assert_eq!(backoff.configure(&bad, later), Ok(()));
        backoff.configured(&bad);
        assert_eq!(backoff.configuration_failed(&bad, later), None);
    }

    #[test]
    fn any_number_of_configurations_that_fail_take_no_more_memory() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let mut last = None;
        for number in 0..3 * CONFIGURATIONS {
            let configuration = configuration(&number.to_le_bytes());
            backoff.configuration_failed(&configuration, now);
            last = backoff.configuration_failed(&configuration, now);
        }
        assert_eq!(backoff.configurations.len(), CONFIGURATIONS);
        assert_eq!((last, backoff.wait(now)), (Some(LONGEST_DELAY), Some(LONGEST_DELAY)));
    }
}
