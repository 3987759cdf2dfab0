//! A host of plain structs: it records what plugins do to it, and answers with values that a test
//! put there.
//!
//! [`LocalHost`] is a worker and [`LocalStream`] a request. Clones share one state, so a test keeps
//! a clone and reads it when the callback has returned.

#[cfg(test)]
mod lines;
mod plugin;
pub mod probe;
mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::{Mutex, MutexGuard};

#[cfg(test)]
pub(crate) use self::lines::logged;
pub use self::plugin::{engine, plugin, vm};
pub use self::stream::{LocalRequest, LocalStream, SentResponse};
use super::abi::{LogLevel, MetricType, Status};
use super::host::{
    Blame, Clocks, ForeignFunctions, GrpcCall, GrpcCalls, Host, HttpCall, HttpCalls, Logging, Metrics, Origin,
    RedisCalls, RedisInit, Result, SharedData, SharedQueues, Signatures, Timers,
};

/// Bytes from a plugin.
type Bytes = Vec<u8>;

/// A worker.
#[derive(Clone, Default)]
pub struct LocalHost(Arc<Mutex<LocalWorker>>);

/// The state that clones of a [`LocalHost`] share.
#[derive(Debug)]
pub struct LocalWorker {
    /// Log messages, the oldest first.
    pub log: Vec<(LogLevel, String)>,
    /// The lowest level that is logged; plugins can ask for it.
    pub log_level: LogLevel,
    /// The time that the clock shows; `None` shows the system's.
    pub now: Option<u64>,
    /// Tick periods by plugin context.
    pub tick_periods: BTreeMap<u32, u32>,
    /// Calls, the oldest first; the index is the id.
    pub calls: Vec<LocalCall>,
    /// User and password by Redis server.
    pub redis_logins: BTreeMap<Bytes, (Bytes, Bytes)>,
    /// Values and CAS numbers by VM id and key.
    pub shared_data: BTreeMap<(Bytes, Bytes), (Bytes, u32)>,
    /// Queues; the index is the id.
    pub queues: Vec<LocalQueue>,
    /// Metrics; the index is the id.
    pub metrics: Vec<LocalMetric>,
    /// Calls of the only foreign function, `echo`: context and arguments.
    pub echoes: Vec<(u32, Bytes)>,
    /// A function that `echo` runs, while the guest waits.
    pub during_echo: Option<fn()>,
    /// Who made instances fail.
    pub blames: Vec<Blame>,
    /// How often the host entered the guest.
    pub entered: usize,
    /// How many callbacks ran.
    pub callbacks: usize,
}

/// An outgoing call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalCall {
    /// The plugin context that gets the answer.
    pub plugin_context: u32,
    /// The context that made the call.
    pub context: u32,
    /// The server that the call goes to.
    pub upstream: Bytes,
    /// The path, or service and method.
    pub target: Bytes,
    /// The body, or the messages.
    pub body: Bytes,
    /// Whether this is a gRPC call or stream that is still open.
    pub open: bool,
}

/// A shared queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalQueue {
    /// The VM id of the plugin that registered the queue.
    pub vm_id: Bytes,
    /// The queue's name.
    pub name: Bytes,
    /// Plugin contexts that are notified of items.
    pub consumers: Vec<u32>,
    /// The items, the oldest first.
    pub items: VecDeque<Bytes>,
}

/// A metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMetric {
    /// The metric's kind.
    pub kind: MetricType,
    /// The metric's name.
    pub name: Bytes,
    /// The metric's value, or the last value recorded.
    pub value: u64,
}

impl Default for LocalWorker {
    fn default() -> Self {
        Self {
            log: Vec::new(),
            log_level: LogLevel::Trace,
            now: None,
            tick_periods: BTreeMap::new(),
            calls: Vec::new(),
            redis_logins: BTreeMap::new(),
            shared_data: BTreeMap::new(),
            queues: Vec::new(),
            metrics: Vec::new(),
            echoes: Vec::new(),
            during_echo: None,
            blames: Vec::new(),
            entered: 0,
            callbacks: 0,
        }
    }
}

impl LocalHost {
    /// The worker's state, to read and to change.
    pub fn worker(&self) -> MutexGuard<'_, LocalWorker> {
        self.0.lock()
    }

    /// Returns the messages logged so far, and forgets them.
    pub fn take_log(&self) -> Vec<String> {
        self.worker().log.drain(..).map(|(_, message)| message).collect()
    }

    fn call(&self, origin: Origin<'_, LocalStream>, upstream: &[u8], target: &[u8], body: &[u8]) -> u32 {
        let mut worker = self.worker();
        worker.calls.push(LocalCall {
            plugin_context: origin.plugin_context,
            context: origin.context,
            upstream: upstream.to_vec(),
            target: target.to_vec(),
            body: body.to_vec(),
            open: true,
        });
        index(worker.calls.len() - 1)
    }
}

impl Host for LocalHost {
    type Stream = LocalStream;

    fn instance_failed(&mut self, blame: Blame) {
        self.worker().blames.push(blame);
    }

    fn guest_entered(&mut self) -> bool {
        self.worker().entered += 1;
        false
    }

    fn guest_left(&mut self, callbacks: usize, _returned: bool, _memory_size: Option<usize>) {
        self.worker().callbacks += callbacks;
    }
}

impl Logging<LocalStream> for LocalHost {
    fn log_level(&self, _: Option<&LocalStream>) -> LogLevel {
        self.worker().log_level
    }

    fn log(&self, _: Option<&LocalStream>, level: LogLevel, line: &[u8], _: bool) {
        self.worker().log.push((level, String::from_utf8_lossy(line).into_owned()));
    }
}

impl Clocks for LocalHost {
    fn now(&self) -> u64 {
        let of_system = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
        self.worker().now.unwrap_or_else(of_system)
    }
}

impl Timers for LocalHost {
    fn set_tick_period(&mut self, plugin_context: u32, period: u32) -> Result {
        self.worker().tick_periods.insert(plugin_context, period);
        Ok(())
    }
}

impl HttpCalls<LocalStream> for LocalHost {
    fn http_call(&mut self, origin: Origin<'_, LocalStream>, call: HttpCall<'_>) -> Result<u32> {
        if call.upstream.is_empty() {
            return Err(Status::BadArgument);
        }
        Ok(self.call(origin, call.upstream, call.headers.get(b":path").unwrap_or_default(), call.body))
    }
}

impl GrpcCalls<LocalStream> for LocalHost {
    fn grpc_call(
        &mut self,
        origin: Origin<'_, LocalStream>,
        call: GrpcCall<'_>,
        message: &[u8],
        _: u32,
    ) -> Result<u32> {
        Ok(self.call(origin, call.upstream, &[call.service, b"/", call.method].concat(), message))
    }

    fn grpc_stream(&mut self, origin: Origin<'_, LocalStream>, call: GrpcCall<'_>) -> Result<u32> {
        Ok(self.call(origin, call.upstream, &[call.service, b"/", call.method].concat(), b""))
    }

    fn grpc_send(&mut self, origin: Origin<'_, LocalStream>, id: u32, message: &[u8], end_of_stream: bool) -> Result {
        let mut worker = self.worker();
        let call = worker.open_call(origin, id)?;
        call.body.extend_from_slice(message);
        call.open = !end_of_stream;
        Ok(())
    }

    fn grpc_cancel(&mut self, origin: Origin<'_, LocalStream>, id: u32) -> Result {
        self.worker().open_call(origin, id)?.open = false;
        Ok(())
    }

    fn grpc_close(&mut self, origin: Origin<'_, LocalStream>, id: u32) -> Result {
        self.grpc_cancel(origin, id)
    }
}

impl RedisCalls<LocalStream> for LocalHost {
    fn redis_init(&mut self, _: Origin<'_, LocalStream>, init: RedisInit<'_>) -> Result {
        if init.server.is_empty() {
            return Err(Status::BadArgument);
        }
        let (user, password) = (init.user.to_vec(), init.password.to_vec());
        self.worker().redis_logins.insert(init.server.to_vec(), (user, password));
        Ok(())
    }

    fn redis_call(&mut self, origin: Origin<'_, LocalStream>, server: &[u8], command: &[u8]) -> Result<u32> {
        if server.is_empty() {
            return Err(Status::BadArgument);
        }
        Ok(self.call(origin, server, b"", command))
    }
}

impl LocalWorker {
    fn open_call(&mut self, origin: Origin<'_, LocalStream>, id: u32) -> Result<&mut LocalCall> {
        let own = |call: &&mut LocalCall| call.open && call.plugin_context == origin.plugin_context;
        self.calls.get_mut(id as usize).filter(own).ok_or(Status::NotFound)
    }

    fn queue(&mut self, id: u32) -> Result<&mut LocalQueue> {
        self.queues.get_mut(id as usize).ok_or(Status::NotFound)
    }

    fn metric(&mut self, id: u32) -> Result<&mut LocalMetric> {
        self.metrics.get_mut(id as usize).ok_or(Status::NotFound)
    }
}

impl SharedData for LocalHost {
    fn shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &mut Vec<u8>) -> Result<u32> {
        let worker = self.worker();
        let (data, cas) = worker.shared_data.get(&(vm_id.to_vec(), key.to_vec())).ok_or(Status::NotFound)?;
        value.extend_from_slice(data);
        Ok(*cas)
    }

    fn set_shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32) -> Result {
        let mut worker = self.worker();
        let entry = worker.shared_data.entry((vm_id.to_vec(), key.to_vec())).or_default();
        if cas != 0 && cas != entry.1 {
            return Err(Status::CasMismatch);
        }
        *entry = (value.to_vec(), entry.1 + 1);
        Ok(())
    }

    /// Values of this host do not expire.
    fn set_expiring_shared_data(&mut self, vm_id: &[u8], key: &[u8], value: &[u8], cas: u32, _: Duration) -> Result {
        self.set_shared_data(vm_id, key, value, cas)
    }

    fn delete_shared_data(&mut self, vm_id: &[u8], key: &[u8]) -> Result {
        let removed = self.worker().shared_data.remove(&(vm_id.to_vec(), key.to_vec()));
        removed.map(drop).ok_or(Status::NotFound)
    }

    fn shared_data_keys(&mut self, vm_id: &[u8], prefix: &[u8], _: u64, key: &mut dyn FnMut(&[u8])) -> Result<u64> {
        let mut keys: Vec<_> = self.worker().shared_data.keys().cloned().collect();
        keys.sort();
        keys.iter().filter(|(id, name)| id == vm_id && name.starts_with(prefix)).for_each(|(_, name)| key(name));
        Ok(0)
    }
}

impl Signatures for LocalHost {}

impl SharedQueues for LocalHost {
    fn register_queue(&mut self, listener: Option<u32>, vm_id: &[u8], name: &[u8]) -> Result<u32> {
        if let Ok(id) = self.resolve_queue(vm_id, name) {
            self.worker().queue(id)?.consumers.extend(listener);
            return Ok(id);
        }
        let mut worker = self.worker();
        worker.queues.push(LocalQueue {
            vm_id: vm_id.to_vec(),
            name: name.to_vec(),
            consumers: listener.into_iter().collect(),
            items: VecDeque::new(),
        });
        Ok(index(worker.queues.len() - 1))
    }

    fn resolve_queue(&mut self, vm_id: &[u8], name: &[u8]) -> Result<u32> {
        let worker = self.worker();
        let found = worker.queues.iter().position(|queue| queue.vm_id == vm_id && queue.name == name);
        found.map(index).ok_or(Status::NotFound)
    }

    fn enqueue(&mut self, queue: u32, value: &[u8]) -> Result {
        self.worker().queue(queue)?.items.push_back(value.to_vec());
        Ok(())
    }

    fn dequeue(&mut self, queue: u32, value: &mut Vec<u8>) -> Result {
        value.extend_from_slice(&self.worker().queue(queue)?.items.pop_front().ok_or(Status::Empty)?);
        Ok(())
    }
}

impl Metrics for LocalHost {
    fn define_metric(&mut self, kind: MetricType, name: &[u8]) -> Result<u32> {
        let mut worker = self.worker();
        if let Some(known) = worker.metrics.iter().position(|metric| metric.name == name && metric.kind == kind) {
            return Ok(index(known));
        }
        worker.metrics.push(LocalMetric { kind, name: name.to_vec(), value: 0 });
        Ok(index(worker.metrics.len() - 1))
    }

    fn metric(&mut self, id: u32) -> Result<u64> {
        Ok(self.worker().metric(id)?.value)
    }

    fn record_metric(&mut self, id: u32, value: u64) -> Result {
        self.worker().metric(id)?.value = value;
        Ok(())
    }

    fn increment_metric(&mut self, id: u32, offset: i64) -> Result {
        let mut worker = self.worker();
        let metric = worker.metric(id)?;
        metric.value = metric.value.checked_add_signed(offset).ok_or(Status::BadArgument)?;
        Ok(())
    }
}

impl ForeignFunctions<LocalStream> for LocalHost {
    fn call_foreign_function(
        &mut self,
        origin: Origin<'_, LocalStream>,
        name: &[u8],
        arguments: &[u8],
    ) -> Result<Vec<u8>> {
        if name != b"echo" {
            return Err(Status::NotFound);
        }
        self.worker().echoes.push((origin.context, arguments.to_vec()));
        let during = self.worker().during_echo;
        if let Some(during) = during {
            during();
        }
        Ok(arguments.to_vec())
    }
}

/// The id of a Vec's element; the local host never has 2^32 of anything.
fn index(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}
