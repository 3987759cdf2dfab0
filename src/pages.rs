//! Pages for the operator: `wasm_metrics`, in Prometheus' text format, and `wasm_status`, in JSON
//! or HTML.

use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::{NGINX_VERSION, ngx_int_t};
use ngx_bindings::{Request, cycle, rc};
use proxy_wasm_host::VmContext;
use proxy_wasm_host::shared::exposition;
use proxy_wasm_host::status::{self, Image, Metrics, Plugin, SharedData, SharedQueue, Status, Zones};

use super::context::{NginxHost, instances};
use super::guard::guard;
use super::identity::{VERSION, WASMTIME_VERSION};
use super::shared::{Stores, counters};
use super::worker::{MainConf, vm};
use super::{calls, connections, host_memory};

/// Returns the metrics of all workers; `None` if there is no zone.
pub fn metrics(main: &MainConf) -> Option<String> {
    let stores = main.shared.stores()?;
    Some(exposition::text(&stores.metrics.samples(), counters::describe))
}

/// Returns the status of this worker and of the zones.
pub fn status(main: &MainConf) -> Status {
    let stores = main.shared.stores();
    let cache = main.runtime().and_then(|runtime| runtime.cache.as_ref());
    let (request_instances, waiting_requests) = instances::count();
    Status {
        version: VERSION,
        wasmtime: WASMTIME_VERSION,
        nginx: NGINX_VERSION.to_string_lossy().into_owned(),
        pid: std::process::id(),
        worker: cycle::worker() as usize,
        calls: calls::under_way(),
        call_connections: connections::open(),
        host_memory: host_memory::of_worker(),
        request_instances,
        waiting_requests,
        plugins: vm::all().iter().map(|vm| plugin(vm, stores)).collect(),
        cache: cache.map(|cache| cache.directory().display().to_string()),
        zones: stores.map(zones),
        lua: main.installation.status(),
    }
}

fn plugin(vm: &VmContext<NginxHost>, stores: Option<&Stores>) -> Plugin {
    let (plugin, status) = (vm.plugin(), vm.status().unwrap_or_default());
    Plugin {
        name: plugin.name().to_owned(),
        abi_version: plugin.abi_version().as_str(),
        size: plugin.module().size(),
        blake3: plugin.module().hash().to_string(),
        from_cache: plugin.module().from_cache(),
        running: status.running,
        retry_in: status.retry_in.map(|wait| wait.as_secs_f64()),
        instances: status.instances,
        spare_instances: status.spare_instances,
        starts: status.starts,
        failures: status.failures,
        image: image(vm),
        memory: status.memory_size,
        memory_limit: plugin.options().memory_limit,
        host_memory: host_memory::of_plugin(plugin.name()),
        plugin_contexts: status.plugin_contexts,
        http_contexts: status.http_contexts,
        all_workers: stores.map(|stores| counters::totals(stores, plugin.name())),
    }
}

fn image(vm: &VmContext<NginxHost>) -> Image {
    let status = vm.image_status().unwrap_or_default();
    Image { bytes: status.bytes, shared: status.shared, why_not: status.why, restores: status.restores }
}

fn zones(stores: &Stores) -> Zones {
    let data = stores.data.status();
    Zones {
        shared_data: SharedData { items: data.items, evictions: data.evictions },
        shared_queue: SharedQueue { queues: stores.queues.len() },
        metrics: Metrics { metrics: stores.metrics.len() },
    }
}

/// A page and its content type.
struct Page {
    content_type: &'static str,
    text: String,
}

/// The content handler of `wasm_metrics`.
pub extern "C" fn on_metrics(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || send(request, metrics_page))
}

/// The content handler of `wasm_status`.
pub extern "C" fn on_status(request: Request) -> ngx_int_t {
    guard(rc::ERROR, || send(request, status_page))
}

fn metrics_page(_: Request, main: &MainConf) -> Option<Page> {
    Some(Page { content_type: exposition::CONTENT_TYPE, text: metrics(main)? })
}

fn status_page(request: Request, main: &MainConf) -> Option<Page> {
    let status = status(main);
    let argument = |name: &[u8]| request.args().split(|&c| c == b'&').find_map(|argument| argument.strip_prefix(name));
    let accepts_html = request.variable(b"http_accept").is_some_and(|accept| {
        accept.split(|&c| c == b',').any(|range| range.trim_ascii().to_ascii_lowercase().starts_with(b"text/html"))
    });
    Some(match argument(b"format=") {
        Some(b"html") => html(&status, argument(b"refresh=")),
        None if accepts_html => html(&status, argument(b"refresh=")),
        _ => Page { content_type: "application/json", text: status::json(&status) },
    })
}

fn html(status: &Status, refresh: Option<&[u8]>) -> Page {
    let seconds = refresh.and_then(|seconds| str::from_utf8(seconds).ok()?.parse().ok());
    Page {
        content_type: "text/html; charset=utf-8",
        text: status::page(status, seconds.filter(|seconds| (1..=3600).contains(seconds))),
    }
}

fn send(request: Request, page: impl FnOnce(Request, &MainConf) -> Option<Page>) -> ngx_int_t {
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return rc::NOT_ALLOWED;
    }
    let Some(page) = page(request, MainConf::of(request)) else {
        return rc::SERVICE_UNAVAILABLE;
    };
    respond(request, &page).unwrap_or(rc::ERROR)
}

fn respond(request: Request, page: &Page) -> Result<ngx_int_t, AllocError> {
    let discarded = request.discard_body();
    if discarded != rc::OK {
        return Ok(discarded);
    }
    request.set_status(200);
    request.set_content_type(page.content_type.as_bytes())?;
    request.set_content_length(Some(page.text.len() as u64));
    request.add_header_out(b"Cache-Control", b"no-store")?;
    request.add_header_out(b"Vary", b"Accept")?;
    request.add_header_out(b"Content-Security-Policy", b"default-src 'none'; style-src 'unsafe-inline'")?;
    let sent = request.send_header();
    if sent != rc::OK || request.header_only() {
        return Ok(sent);
    }
    request.send_body(page.text.as_bytes())
}
