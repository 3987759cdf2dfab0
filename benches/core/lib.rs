//! Shared parts of the library's benchmarks: guests in WebAssembly text, and a request of the local
//! host that passes them.
//!
//! The results include the local host's own work (a lock, a map, a copy), which is the same before
//! and after a change.

use std::rc::Rc;

use proxy_wasm_host::abi::{BufferType, LogLevel, MapType, MetricType};
use proxy_wasm_host::host::Metrics;
use proxy_wasm_host::local::{self, LocalHost, LocalStream};
use proxy_wasm_host::pairs::PairsBuf;
use proxy_wasm_host::{HttpContext, PluginContext, PluginOptions};

/// Roughly the headers that a browser sends to a site.
pub const HEADERS: &[(&str, &str)] = &[
    (":method", "GET"),
    (":path", "/some/where?with=arguments"),
    (":authority", "www.example.com"),
    (":scheme", "https"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("x-request-id", "7c0f2f6e-8a55-4f0c-9a0e-3d1f6f0c2b11"),
];

/// Returns [`HEADERS`] as the host keeps them.
pub fn header_map() -> PairsBuf {
    HEADERS.iter().copied().collect()
}

/// Returns the text of a plugin with these imports, data and functions.
pub fn guest(parts: &str) -> String {
    format!(
        r#"(module {parts}
            (memory (export "memory") 2)
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536)))"#
    )
}

/// Returns a plugin that calls one host function as often as the request has headers, and traps
/// unless the function answers OK. `data` is at address 0; results are written to 1024 and 1028.
pub fn caller(function: &str, params: &str, data: &str, arguments: &str) -> String {
    guest(&format!(
        r#"(import "env" "{function}" (func $call (param {params}) (result i32)))
            (data (i32.const 0) "{data}")
            (func (export "proxy_on_request_headers") (param $id i32) (param $times i32) (param i32) (result i32)
                (loop $again
                    (if (call $call {arguments}) (then (unreachable)))
                    (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
                (i32.const 0))"#
    ))
}

/// Returns a configured plugin, on a host that has one of everything.
///
/// # Panics
/// If the guest is not a plugin.
pub fn plugin_context(wat: &str) -> Rc<PluginContext<LocalHost>> {
    let plugin =
        local::plugin(wat.as_bytes(), PluginOptions::default()).unwrap_or_else(|error| panic!("{error}: {wat}"));
    let (mut host, vm) = local::vm(plugin);
    host.define_metric(MetricType::Counter, b"requests").expect("a metric");
    let mut worker = host.worker();
    worker.log_level = LogLevel::Warn;
    worker.shared_data.insert((b"vm".to_vec(), b"key".to_vec()), (b"value".to_vec(), 1));
    drop(worker);
    let context = vm.plugin_context(b"configuration".as_slice().into());
    context.start().expect("a plugin that starts");
    context
}

/// Returns a request with [`HEADERS`], a body of 4 KiB and a property.
pub fn stream() -> LocalStream {
    let stream = LocalStream::with_headers(HEADERS);
    let mut request = stream.request();
    request.maps.insert(MapType::HttpResponseHeaders, Vec::new());
    request.buffers.insert(BufferType::HttpRequestBody, vec![b'x'; 4096]);
    request.properties.insert(b"route".to_vec(), b"value".to_vec());
    drop(request);
    stream
}

/// Returns the HttpContext of a plugin for [`stream`].
///
/// # Panics
/// If the guest is not a plugin.
pub fn http_context(wat: &str) -> HttpContext<LocalHost> {
    plugin_context(wat).create_http_context(stream()).expect("a context")
}
