//! Pages for the operator: `wasm_metrics`, in Prometheus' text, and `wasm_status`, in JSON.

use ngx_bindings::pool::AllocError;
use ngx_bindings::sys::{NGINX_VERSION, ngx_http_request_t, ngx_int_t};
use ngx_bindings::{Request, cycle, rc};
use serde_json::{Value, json};

use super::configuration::MainConf;
use super::guard::guard;
use super::module::{VERSION, WASMTIME_VERSION};
use super::phases::main_conf;
use super::shared::counters;
use super::vm;
use crate::shared::exposition;

/// The metrics of all workers; nothing where there is no zone.
pub fn metrics(main: &MainConf) -> Option<String> {
    let stores = main.shared.stores()?;
    Some(exposition::text(&stores.metrics.samples(), counters::describe))
}

/// What this worker runs, and how full the zones are.
fn status(main: &MainConf) -> String {
    let plugins: Vec<_> = vm::all()
        .iter()
        .map(|vm| {
            let status = vm.status().unwrap_or_default();
            json!({
                "name": vm.plugin().name(),
                "running": status.running,
                "starts": status.starts,
                "failures": status.failures,
                "memory": status.memory_size,
                "plugin_contexts": status.plugin_contexts,
                "http_contexts": status.http_contexts,
            })
        })
        .collect();
    let page = json!({
        "version": VERSION,
        "wasmtime": WASMTIME_VERSION,
        "nginx": NGINX_VERSION.to_string_lossy(),
        "pid": std::process::id(),
        "worker": cycle::worker(),
        "plugins": plugins,
        "cache": main.runtime().and_then(|runtime| runtime.cache.as_ref()).map(|cache| cache.directory().display().to_string()),
        "zones": zones(main),
        "lua": main.installation.status(),
    });
    format!("{page:#}\n")
}

fn zones(main: &MainConf) -> Value {
    let Some(stores) = main.shared.stores() else { return Value::Null };
    let data = stores.data.status();
    json!({
        "shared_data": { "items": data.items, "evictions": data.evictions },
        "shared_queue": { "queues": stores.queues.len() },
        "metrics": { "metrics": stores.metrics.samples().len() },
    })
}

/// Content handler of `wasm_metrics`.
pub unsafe extern "C" fn on_metrics(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    let request = unsafe { Request::from_ptr(r) };
    guard(rc::ERROR, || request.map_or(rc::ERROR, |request| send(request, exposition::CONTENT_TYPE, metrics)))
}

/// Content handler of `wasm_status`.
pub unsafe extern "C" fn on_status(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a valid request.
    let request = unsafe { Request::from_ptr(r) };
    guard(rc::ERROR, || {
        request.map_or(rc::ERROR, |request| send(request, "application/json", |main| Some(status(main))))
    })
}

fn send(request: Request, content_type: &str, page: impl FnOnce(&MainConf) -> Option<String>) -> ngx_int_t {
    if !matches!(request.method(), b"GET" | b"HEAD") {
        return rc::NOT_ALLOWED;
    }
    let Some(page) = page(main_conf(request)) else {
        return rc::SERVICE_UNAVAILABLE;
    };
    respond(request, content_type, page.as_bytes()).unwrap_or(rc::ERROR)
}

fn respond(request: Request, content_type: &str, page: &[u8]) -> Result<ngx_int_t, AllocError> {
    let discarded = request.discard_body();
    if discarded != rc::OK {
        return Ok(discarded);
    }
    request.set_status(200);
    request.set_content_type(content_type.as_bytes())?;
    request.set_content_length(Some(page.len() as u64));
    let sent = request.send_header();
    if sent != rc::OK || request.header_only() {
        return Ok(sent);
    }
    request.send_body(page)
}
