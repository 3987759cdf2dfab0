//! A plugin that a test controls: it re-exports every import, and has an allocator that can
//! misbehave.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use wasmtime::{Instance, Store, Val, ValType};

use crate::abi::{BufferType, Status};
use crate::context::{ContextKey, Contexts, Stage};
use crate::identity::{Configuration, Dialect, Identity};
use crate::local::{LocalHost, LocalStream};
use crate::plugin::{Plugin, PluginOptions};
use crate::root_id::RootId;
use crate::state::{GuestExports, VmState};
use crate::wasm::{Deadlines, Engine, EngineConfig, Module};

/// Every import of ABI 0.1.0, 0.2.0 and 0.2.1, with the kinds of its parameters: `v`alue of 32
/// bits, `V`alue of 64, `s`lice (address and size), `m`ap (address and size), `p`ointer to 32 bits
/// to be written, `P`ointer to 64, `o`ptional pointer.
pub const ABI: &[(&str, &str)] = &[
    ("proxy_log", "vs"),
    ("proxy_get_log_level", "p"),
    ("proxy_get_current_time_nanoseconds", "P"),
    ("proxy_set_tick_period_milliseconds", "v"),
    ("proxy_get_configuration", "pp"),
    ("proxy_get_buffer_bytes", "vvvpp"),
    ("proxy_get_buffer_status", "vpp"),
    ("proxy_set_buffer_bytes", "vvvs"),
    ("proxy_get_header_map_size", "vp"),
    ("proxy_get_header_map_pairs", "vpp"),
    ("proxy_set_header_map_pairs", "vm"),
    ("proxy_get_header_map_value", "vspp"),
    ("proxy_add_header_map_value", "vss"),
    ("proxy_replace_header_map_value", "vss"),
    ("proxy_remove_header_map_value", "vs"),
    ("proxy_get_property", "spp"),
    ("proxy_set_property", "ss"),
    ("proxy_send_local_response", "vssmv"),
    ("proxy_continue_stream", "v"),
    ("proxy_close_stream", "v"),
    ("proxy_continue_request", ""),
    ("proxy_continue_response", ""),
    ("proxy_clear_route_cache", ""),
    ("proxy_get_status", "ppp"),
    ("proxy_http_call", "smsmvp"),
    ("proxy_redis_init", "sssv"),
    ("proxy_redis_call", "ssp"),
    ("proxy_get_upstream_hosts", "pp"),
    ("proxy_set_upstream_override_host", "s"),
    ("proxy_inject_encoded_data_to_filter_chain", "sv"),
    ("proxy_grpc_call", "sssmsvp"),
    ("proxy_grpc_stream", "sssmp"),
    ("proxy_grpc_send", "vsv"),
    ("proxy_grpc_cancel", "v"),
    ("proxy_grpc_close", "v"),
    ("proxy_get_shared_data", "sppp"),
    ("proxy_set_shared_data", "ssv"),
    ("proxy_register_shared_queue", "sp"),
    ("proxy_resolve_shared_queue", "ssp"),
    ("proxy_enqueue_shared_queue", "vs"),
    ("proxy_dequeue_shared_queue", "vpp"),
    ("proxy_define_metric", "vsp"),
    ("proxy_get_metric", "vP"),
    ("proxy_record_metric", "vV"),
    ("proxy_increment_metric", "vV"),
    ("proxy_call_foreign_function", "ssoo"),
    ("proxy_set_effective_context", "v"),
    ("proxy_done", ""),
];

/// The functions of WASI that plugins were seen to import, with the kinds of their parameters as in
/// [`ABI`]. An address of a structure that has further addresses counts as a value here.
pub const WASI: &[(&str, &str)] = &[
    ("args_get", "vv"),
    ("args_sizes_get", "vv"),
    ("clock_res_get", "vv"),
    ("clock_time_get", "vVv"),
    ("environ_get", "vv"),
    ("environ_sizes_get", "vv"),
    ("fd_close", "v"),
    ("fd_fdstat_get", "vv"),
    ("fd_fdstat_set_flags", "vv"),
    ("fd_filestat_get", "vv"),
    ("fd_pread", "vvvVv"),
    ("fd_prestat_dir_name", "vvv"),
    ("fd_prestat_get", "vv"),
    ("fd_read", "vvvv"),
    ("fd_readdir", "vvvVv"),
    ("fd_renumber", "vv"),
    ("fd_seek", "vVvv"),
    ("fd_write", "vvvv"),
    ("path_filestat_get", "vvvvv"),
    ("path_open", "vvvvvVVvv"),
    ("path_readlink", "vvvvvv"),
    ("path_unlink_file", "vvv"),
    ("poll_oneoff", "vvvv"),
    ("random_get", "vv"),
    ("sched_yield", ""),
];

/// The address where a test lets results be written.
pub const OUT: u32 = 16;

/// How the allocator behaves.
#[derive(Clone, Copy)]
#[repr(i32)]
pub enum Allocator {
    /// The allocator has no memory left.
    ReturnsZero = 1,
    /// The allocator returns an address outside the memory.
    ReturnsOutside = 2,
    /// The allocator traps.
    Traps = 3,
    /// The allocator grows the memory, and then allocates as usual.
    GrowsMemory = 4,
    /// The allocator adds a request header, `late: 1`.
    AddsHeader = 5,
    /// The allocator empties the request body.
    CutsBody = 6,
    /// The allocator asks for all request headers.
    AsksForHeaders = 7,
}

/// The plugin, its one request, and their host.
pub struct Probe {
    /// The plugin's worker.
    pub host: LocalHost,
    /// The plugin's request.
    pub stream: LocalStream,
    /// The store of the plugin's instance.
    pub store: Store<VmState<LocalHost>>,
    instance: Instance,
    /// The address where [`Probe::put`] writes next.
    next: u32,
}

/// The types of parameters of these kinds, as WebAssembly text.
pub fn params(kinds: &str) -> String {
    kinds
        .chars()
        .map(|kind| {
            if kind == 'V' {
                " i64"
            } else if "sm".contains(kind) {
                " i32 i32"
            } else {
                " i32"
            }
        })
        .collect()
}

fn wat() -> String {
    let (mut imports, mut exports) = (String::new(), String::new());
    let wasi = WASI.iter().map(|function| ("wasi_snapshot_preview1", function));
    for (module, (name, kinds)) in ABI.iter().map(|function| ("env", function)).chain(wasi) {
        let params = params(kinds);
        let arguments: String = (0..params.split_whitespace().count()).map(|i| format!(" local.get {i}")).collect();
        writeln!(imports, r#"(import "{module}" "{name}" (func ${name} (param{params}) (result i32)))"#).unwrap();
        writeln!(exports, r#"(func (export "{name}") (param{params}) (result i32){arguments} call ${name})"#).unwrap();
    }
    format!(
        r#"(module
        {imports}
        (memory (export "memory") 1)
        (data (i32.const 32) "late1")
        (global $mode (export "mode") (mut i32) (i32.const 0))
        (global $next (mut i32) (i32.const 32768))
        (func (export "proxy_abi_version_0_2_1"))
        {exports}
        (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
            (if (i32.eqz (local.get $size)) (then unreachable))
            (if (i32.eq (global.get $mode) (i32.const 1)) (then (return (i32.const 0))))
            (if (i32.eq (global.get $mode) (i32.const 2)) (then (return (i32.const -8))))
            (if (i32.eq (global.get $mode) (i32.const 3)) (then unreachable))
            (if (i32.eq (global.get $mode) (i32.const 4)) (then (drop (memory.grow (i32.const 1)))))
            (if (i32.eq (global.get $mode) (i32.const 5)) (then (drop (call $proxy_add_header_map_value
                (i32.const 0) (i32.const 32) (i32.const 4) (i32.const 36) (i32.const 1)))))
            (if (i32.eq (global.get $mode) (i32.const 6)) (then (drop (call $proxy_set_buffer_bytes
                (i32.const 0) (i32.const 0) (i32.const -1) (i32.const 0) (i32.const 0)))))
            (if (i32.eq (global.get $mode) (i32.const 7)) (then (i32.store (i32.const 48)
                (call $proxy_get_header_map_pairs (i32.const 0) (i32.const 40) (i32.const 44)))))
            (global.get $next)
            (global.set $next (i32.add (global.get $next) (local.get $size)))))"#
    )
}

/// The plugin, compiled once for all tests.
fn plugin() -> &'static Arc<Plugin<LocalHost>> {
    static PLUGIN: OnceLock<Arc<Plugin<LocalHost>>> = OnceLock::new();
    PLUGIN.get_or_init(|| link(&wat()).unwrap())
}

/// Makes a plugin from a module's text.
///
/// # Errors
/// What keeps the plugin from being loaded.
pub fn link(wat: &str) -> Result<Arc<Plugin<LocalHost>>, String> {
    let engine = Engine::new(&EngineConfig { deadlines: Deadlines::Off }).unwrap();
    let module = Module::load(&engine, None, wat.as_bytes()).unwrap();
    let identity = Identity {
        name: "probe".into(),
        root_id: RootId::given("root", wat.as_bytes()),
        dialect: Dialect::Envoy,
        vm_id: "vm".into(),
        vm_configuration: b"vm conf".to_vec(),
        node: Default::default(),
    };
    Plugin::new(&engine, &module, identity, PluginOptions::default()).map_err(|error| error.to_string())
}

/// The names of all functions that a plugin can import.
#[cfg(test)]
pub fn defined() -> std::collections::BTreeSet<String> {
    let mut probe = Probe::new();
    let plugin = plugin();
    let mut linker = wasmtime::Linker::new(plugin.engine().wasmtime());
    crate::hostcalls::add_to_linker(&mut linker, plugin.module().wasmtime()).unwrap();
    crate::wasm::wasi::add_to_linker(&mut linker).unwrap();
    linker.iter(&mut probe.store).map(|(_, name, _)| name.to_owned()).collect()
}

impl Probe {
    /// A probe in an HTTP context whose request has a header and a body; the context ids are 1 and
    /// 2.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        let stream = LocalStream::with_headers(&[("host", "example.org"), ("x-api", "a"), ("X-API", "b")]);
        stream.request().buffers.insert(BufferType::HttpRequestBody, b"0123456789".to_vec());
        let mut probe = Self::start(stream.clone());
        let contexts = &mut probe.store.data_mut().contexts;
        let (http, ..) = contexts.open(0, stream);
        contexts.enter(ContextKey::Http(http));
        probe
    }

    /// A probe in the plugin context, without a request.
    pub fn without_request() -> Self {
        Self::start(LocalStream::default())
    }

    fn start(stream: LocalStream) -> Self {
        Self::of(plugin(), stream)
    }

    /// A probe of another plugin, which must have an allocator and a memory.
    pub fn of(plugin: &Arc<Plugin<LocalHost>>, stream: LocalStream) -> Self {
        let host = LocalHost::default();
        let mut contexts = Contexts::default();
        let context = ContextKey::Plugin(contexts.register(Configuration::new(b"conf"[..].into(), plugin.identity())));
        contexts.set_stage(context, Stage::Open);
        contexts.enter(context);
        let mut store = plugin.store(host.clone(), contexts);
        let instance = plugin.instance_pre().instantiate(&mut store).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        let allocate = instance.get_typed_func(&mut store, "proxy_on_memory_allocate").ok().map(Arc::new);
        store.data_mut().guest = Some(GuestExports { memory, allocate });
        Self { host, stream, store, instance, next: 64 }
    }

    /// Makes the allocator misbehave.
    pub fn set_allocator(&mut self, allocator: Allocator) {
        let mode = self.instance.get_global(&mut self.store, "mode").unwrap();
        mode.set(&mut self.store, Val::I32(allocator as i32)).unwrap();
    }

    /// Writes bytes into the guest's memory, and returns their address and size.
    pub fn put(&mut self, bytes: impl AsRef<[u8]>) -> [u32; 2] {
        let bytes = bytes.as_ref();
        let (address, size) = (self.next, bytes.len() as u32);
        self.memory()[address as usize..][..bytes.len()].copy_from_slice(bytes);
        self.next += size;
        [address, size]
    }

    /// All bytes of the guest's memory.
    pub fn memory(&mut self) -> &mut [u8] {
        let memory = self.instance.get_memory(&mut self.store, "memory").unwrap();
        memory.data_mut(&mut self.store)
    }

    /// Calls a host function. Values of 64 bits are passed as 32.
    ///
    /// # Errors
    /// When the host function traps.
    pub fn try_call(&mut self, name: &str, arguments: &[u32]) -> wasmtime::Result<Status> {
        Ok(Status::try_from(self.call_any(name, arguments)?).unwrap())
    }

    /// Does the same also for functions of WASI, which return an `errno`.
    ///
    /// # Errors
    /// When the host function traps.
    pub fn call_any(&mut self, name: &str, arguments: &[u32]) -> wasmtime::Result<i32> {
        let function = self.instance.get_func(&mut self.store, name).unwrap();
        let types: Vec<ValType> = function.ty(&self.store).params().collect();
        assert_eq!(types.len(), arguments.len(), "{name}");
        let arguments: Vec<Val> = types
            .iter()
            .zip(arguments)
            .map(|(ty, &value)| match ty {
                ValType::I64 => Val::I64(i64::from(value as i32)),
                _ => Val::I32(value as i32),
            })
            .collect();
        let mut results = [Val::I32(-1)];
        function.call(&mut self.store, &arguments, &mut results)?;
        Ok(results[0].unwrap_i32())
    }

    /// Calls a host function that must not trap.
    pub fn call(&mut self, name: &str, arguments: &[u32]) -> Status {
        self.try_call(name, arguments).unwrap()
    }

    /// Reads the number that was written.
    pub fn number(&mut self, address: u32) -> u32 {
        u32::from_le_bytes(self.memory()[address as usize..][..4].try_into().unwrap())
    }

    /// Reads the bytes whose address and size were written.
    pub fn returned(&mut self) -> Vec<u8> {
        let (address, size) = (self.number(OUT), self.number(OUT + 4));
        self.memory()[address as usize..][..size as usize].to_vec()
    }

    /// Calls a host function that returns bytes through its last parameters.
    ///
    /// # Errors
    /// The status, when it is not `Ok`.
    pub fn get(&mut self, name: &str, arguments: &[u32]) -> Result<Vec<u8>, Status> {
        match self.call(name, &[arguments, &[OUT, OUT + 4]].concat()) {
            Status::Ok => Ok(self.returned()),
            status => Err(status),
        }
    }

    /// Prints everything that a host function can change outside the guest.
    pub fn world(&self) -> String {
        format!("{:?}{:?}", *self.host.worker(), *self.stream.request())
    }
}
