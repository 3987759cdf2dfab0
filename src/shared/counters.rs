//! The module's own metrics, which are in the same zone as the plugins' metrics.
//!
//! Counters on the path of a request are looked up once per VM. Counting then costs one atomic
//! addition.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ngx_bindings::cycle;
use proxy_wasm_host::shared::exposition::Own;
use proxy_wasm_host::shared::metrics::{Kind, Sample};
use proxy_wasm_host::status::{FailedRequests, Totals};

use super::Stores;

/// The names of the metrics.
mod own {
    pub const REQUESTS: &str = "proxy_wasm_requests_total";
    pub const CALLBACKS: &str = "proxy_wasm_callbacks_total";
    pub const GUEST_TIME: &str = "proxy_wasm_guest_seconds_total";
    pub const STARTS: &str = "proxy_wasm_starts_total";
    pub const RESTARTS: &str = "proxy_wasm_restarts_total";
    pub const RESTORES: &str = "proxy_wasm_restores_total";
    pub const FAILURES: &str = "proxy_wasm_failures_total";
    pub const FAILED_REQUESTS: &str = "proxy_wasm_failed_requests_total";
    pub const CALLS: &str = "proxy_wasm_calls_total";
    pub const LOADS: &str = "proxy_wasm_loads_total";
    pub const MEMORY: &str = "proxy_wasm_memory_bytes";
    pub const INSTANCES: &str = "proxy_wasm_instances";
}

/// Describes one of the module's own metrics for Prometheus.
pub fn describe(name: &str) -> Option<Own> {
    let own = |help| Some(Own { help, nanoseconds: false });
    match name {
        own::REQUESTS => own("Requests that a plugin met."),
        own::CALLBACKS => own("Callbacks of a plugin."),
        own::GUEST_TIME => {
            Some(Own { help: "Time spent in callbacks of a plugin, estimated from one in 16.", nanoseconds: true })
        }
        own::STARTS => own("Instances of a plugin that were started."),
        own::RESTARTS => own("Instances that were started in place of one that failed."),
        own::RESTORES => own("Instances of a plugin that were restored from an image instead of started."),
        own::FAILURES => own("Instances that ended by a trap, a deadline, an exit, or a start that failed."),
        own::FAILED_REQUESTS => {
            own("Requests that lived in an instance that failed, by whether they caused it or were collateral.")
        }
        own::CALLS => own("Calls that a plugin made to other servers."),
        own::LOADS => own("Plugins that were loaded, by whether they were compiled or came from the cache."),
        own::MEMORY => own("Linear memory of a plugin's instance in a worker, as last seen."),
        own::INSTANCES => own("Instances of a plugin in a worker: its own, and those of requests."),
        _ => None,
    }
}

/// The request whose callback did not return.
const CAUSED: &str = "caused";
/// Another request in the same instance.
const COLLATERAL: &str = "collateral";

/// One of this many calls of the guest is timed. A call may run several callbacks in a row.
const SAMPLE: u64 = 16;

thread_local! {
    /// The instances that this worker has, by plugin. VMs of one name have one metric.
    static INSTANCES: RefCell<HashMap<String, Rc<Cell<u64>>>> = RefCell::default();
}

/// The counters of one plugin in this worker.
pub struct Counters {
    requests: &'static AtomicU64,
    callbacks: &'static AtomicU64,
    guest_time: &'static AtomicU64,
    starts: &'static AtomicU64,
    restarts: &'static AtomicU64,
    restores: &'static AtomicU64,
    failures: &'static AtomicU64,
    caused: &'static AtomicU64,
    collateral: &'static AtomicU64,
    calls: &'static AtomicU64,
    memory: &'static AtomicU64,
    instances: &'static AtomicU64,
    instances_here: Rc<Cell<u64>>,
    /// How often the guest was called.
    entered: Cell<u64>,
}

impl Counters {
    /// Looks up a plugin's counters, and defines those that do not exist yet.
    pub fn new(stores: Option<&Stores>, plugin: &str) -> Self {
        let counter = |name| number(stores, Kind::Counter, &[("plugin", plugin)], name);
        let worker = cycle::worker().to_string();
        let gauge = |name| number(stores, Kind::Gauge, &[("plugin", plugin), ("worker", &worker)], name);
        Self {
            requests: counter(own::REQUESTS),
            callbacks: counter(own::CALLBACKS),
            guest_time: counter(own::GUEST_TIME),
            starts: counter(own::STARTS),
            restarts: counter(own::RESTARTS),
            restores: counter(own::RESTORES),
            failures: counter(own::FAILURES),
            caused: failed_requests(stores, plugin, CAUSED),
            collateral: failed_requests(stores, plugin, COLLATERAL),
            calls: counter(own::CALLS),
            memory: gauge(own::MEMORY),
            instances: gauge(own::INSTANCES),
            instances_here: INSTANCES.with_borrow_mut(|all| Rc::clone(all.entry(plugin.to_owned()).or_default())),
            entered: Cell::new(0),
        }
    }

    /// Counts a request that met the plugin.
    pub fn request(&self) {
        add(self.requests, 1);
    }

    /// Counts a call that the plugin makes to another server.
    pub fn call(&self) {
        add(self.calls, 1);
    }

    /// Counts the start of an instance. Every start of a VM but its first is a restart.
    pub fn start(&self, is_restart: bool) {
        add(self.starts, 1);
        add(self.restarts, is_restart.into());
    }

    /// Counts an instance that was restored.
    pub fn restore(&self) {
        add(self.restores, 1);
    }

    /// Notes that there is an instance more.
    pub fn instance_came(&self) {
        self.set_instances(self.instances_here.get() + 1);
    }

    /// Notes that an instance has gone.
    pub fn instance_went(&self) {
        self.set_instances(self.instances_here.get().saturating_sub(1));
    }

    fn set_instances(&self, count: u64) {
        self.instances_here.set(count);
        // The number of a worker that quits is that of its successor.
        if !cycle::exiting() {
            self.instances.store(count, Ordering::Relaxed);
        }
    }

    /// Counts the failure of an instance.
    pub fn failure(&self) {
        add(self.failures, 1);
    }

    /// Counts the requests that lived in an instance that failed.
    pub fn lost(&self, caused: bool, collateral: usize) {
        add(self.caused, caused.into());
        add(self.collateral, collateral as u64);
    }

    /// Notes the end of the worker's instance.
    pub fn forget_memory(&self) {
        self.memory.store(0, Ordering::Relaxed);
    }

    /// Counts the start of a callback, or of several in a row. Answers whether to time them.
    #[inline]
    pub fn enter(&self) -> bool {
        let before = self.entered.get();
        self.entered.set(before + 1);
        before.is_multiple_of(SAMPLE)
    }

    /// Counts callbacks that ended.
    #[inline]
    pub fn callbacks(&self, count: usize) {
        add(self.callbacks, count as u64);
    }

    /// Adds the time of the timed callbacks, and notes the size of the worker's instance's memory.
    #[cold]
    pub fn timed(&self, begin: Instant, memory_size: Option<usize>) {
        let nanoseconds = u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        add(self.guest_time, nanoseconds.saturating_mul(SAMPLE));
        if let Some(memory_size) = memory_size {
            self.memory.store(memory_size as u64, Ordering::Relaxed);
        }
    }
}

/// Returns what all workers counted for a plugin.
pub fn totals(stores: &Stores, plugin: &str) -> Totals {
    let count = |name| number(Some(stores), Kind::Counter, &[("plugin", plugin)], name).load(Ordering::Relaxed);
    Totals {
        requests: count(own::REQUESTS),
        callbacks: count(own::CALLBACKS),
        guest_seconds: Duration::from_nanos(count(own::GUEST_TIME)).as_secs_f64(),
        starts: count(own::STARTS),
        restarts: count(own::RESTARTS),
        restores: count(own::RESTORES),
        failures: count(own::FAILURES),
        failed_requests: FailedRequests {
            caused: failed_requests(Some(stores), plugin, CAUSED).load(Ordering::Relaxed),
            collateral: failed_requests(Some(stores), plugin, COLLATERAL).load(Ordering::Relaxed),
        },
        calls: count(own::CALLS),
    }
}

/// Forgets what an earlier worker of this number had, which may have been killed, or had other
/// plugins; and what workers had of which there are fewer now.
pub fn begin_worker(stores: &Stores, workers: usize) {
    for sample in stores.metrics.samples() {
        let Sample { scope, name, kind: Kind::Gauge, .. } = &sample else { continue };
        if scope.is_empty()
            && let Some(worker) = worker_of(name)
            && (worker == cycle::worker() || worker >= workers)
            && let Some(number) =
                stores.metrics.define(b"", None, Kind::Gauge, name).ok().and_then(|id| stores.metrics.number(id))
        {
            number.store(0, Ordering::Relaxed);
        }
    }
}

/// The label `worker` of a metric.
fn worker_of(name: &[u8]) -> Option<usize> {
    let name = str::from_utf8(name).ok()?;
    name.split(";.;").find_map(|tag| tag.strip_prefix("worker=.=")?.parse().ok())
}

/// Counts a plugin that was loaded.
pub fn count_load(stores: &Stores, plugin: &str, from_cache: bool) {
    let from = if from_cache { "cache" } else { "compiler" };
    add(number(Some(stores), Kind::Counter, &[("plugin", plugin), ("from", from)], own::LOADS), 1);
}

fn failed_requests(stores: Option<&Stores>, plugin: &str, role: &str) -> &'static AtomicU64 {
    number(stores, Kind::Counter, &[("plugin", plugin), ("role", role)], own::FAILED_REQUESTS)
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

/// Returns the cell of a metric. If the zone has no room for it, returns a cell that is never read.
fn number(stores: Option<&Stores>, kind: Kind, labels: &[(&str, &str)], name: &str) -> &'static AtomicU64 {
    static NOWHERE: AtomicU64 = AtomicU64::new(0);
    let tags: String = labels.iter().map(|(label, value)| format!("{label}=.={value};.;")).collect();
    stores
        .and_then(|stores| {
            let id = stores.metrics.define(b"", None, kind, format!("{tags}{name}").as_bytes()).ok()?;
            stores.metrics.number(id)
        })
        .unwrap_or(&NOWHERE)
}
