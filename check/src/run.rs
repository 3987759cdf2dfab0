//! Runs a plugin: its start, its configuration, and one made-up request.

use std::rc::Rc;
use std::sync::Arc;

use proxy_wasm_host::abi::{Action, BufferType, LogLevel, MapType};
use proxy_wasm_host::local::{LocalHost, LocalStream};
use proxy_wasm_host::{Callback, Failure, HttpContext, Plugin, VmContext};

use crate::log;
use crate::output::say;

const REQUEST: [(&str, &str); 8] = [
    (":method", "POST"),
    (":scheme", "https"),
    (":authority", "example.com"),
    (":path", "/path?name=value"),
    ("user-agent", "proxy-wasm-check"),
    ("accept", "*/*"),
    ("content-type", "text/plain"),
    ("content-length", "5"),
];

const RESPONSE: [(&str, &str); 3] = [(":status", "200"), ("content-type", "text/plain"), ("content-length", "5")];

/// The body of the request, and of the response.
const BODY: &[u8] = b"hello";

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// The state that is compared between two callbacks.
struct Watch {
    host: LocalHost,
    stream: LocalStream,
    /// How many calls were printed already.
    calls: usize,
}

/// Runs the plugin, and prints what it did.
///
/// # Errors
/// A text to be read after the file's name.
pub fn run(plugin: Arc<Plugin<LocalHost>>, configuration: &[u8]) -> Result<(), String> {
    let host = LocalHost::default();
    let same = host.clone();
    let vm = VmContext::new(plugin, Box::new(move || same.clone()));
    let context = vm.plugin_context(Arc::from(configuration));
    let mut watch = Watch { host, stream: request(), calls: 0 };

    say!("\nstart, and configuration of {} bytes", configuration.len());
    let started = context.start();
    watch.print();
    started.map_err(|failure| failed("start", &failure))?;
    for (context, period) in &watch.host.worker().tick_periods {
        say!("    context {context} asks for a tick every {period} ms");
    }

    say!("\nPOST https://example.com/path?name=value");
    let opened = context.create_http_context(watch.stream.clone());
    watch.print();
    let http = opened.map_err(|failure| failed("take a request", &failure))?;
    exchange(&mut watch, &http)?;
    http.finish();
    say!("end of the request");
    watch.print();
    drop((http, context));
    drop(Rc::into_inner(vm));
    watch.print();
    Ok(())
}

/// Runs the four callbacks, until one of them does not let the request continue.
fn exchange(watch: &mut Watch, http: &HttpContext<LocalHost>) -> Result<(), String> {
    let count = |fields: usize| u32::try_from(fields).unwrap_or(u32::MAX);
    let size = count(BODY.len());
    let _ = watch
        .callback(http, Callback::OnRequestHeaders, |http| http.on_request_headers(count(REQUEST.len()), false))?
        && {
            watch.stream.request().buffers.insert(BufferType::HttpRequestBody, BODY.to_vec());
            watch.callback(http, Callback::OnRequestBody, |http| http.on_request_body(size, true))?
        }
        && {
            watch.stream.request().buffers.remove(&BufferType::HttpRequestBody);
            watch.stream.request().maps.insert(MapType::HttpResponseHeaders, fields(&RESPONSE));
            watch.callback(http, Callback::OnResponseHeaders, |http| {
                http.on_response_headers(count(RESPONSE.len()), false)
            })?
        }
        && {
            watch.stream.request().buffers.insert(BufferType::HttpResponseBody, BODY.to_vec());
            watch.callback(http, Callback::OnResponseBody, |http| http.on_response_body(size, true))?
        };
    Ok(())
}

impl Watch {
    /// Runs one callback and prints its result. Answers whether the request continues.
    fn callback(
        &mut self,
        http: &HttpContext<LocalHost>,
        callback: Callback,
        call: impl FnOnce(&HttpContext<LocalHost>) -> Result<Action, Failure>,
    ) -> Result<bool, String> {
        if !http.plugin_context().plugin().has(callback) {
            return Ok(true);
        }
        say!("{callback}");
        let (maps, buffers) = {
            let request = self.stream.request();
            (request.maps.clone(), request.buffers.clone())
        };
        let result = call(http);
        self.print();
        {
            let request = self.stream.request();
            for (map, before) in &maps {
                print_changes(before, request.maps.get(map).map_or(&[], Vec::as_slice));
            }
            for (buffer, before) in &buffers {
                let after = request.buffers.get(buffer).unwrap_or(before);
                if after != before {
                    say!("    body is now \"{}\"", after.escape_ascii());
                }
            }
        }
        let action = result.map_err(|failure| failed(callback.name(), &failure))?;
        if let Some(answer) = &self.stream.request().local_response {
            say!("    answers {} \"{}\"", answer.status, answer.body.escape_ascii());
            answer.headers.iter().for_each(|field| print_field('+', field));
            return Ok(false);
        }
        match action {
            Action::Continue => say!("    continues"),
            Action::Pause | Action::PauseByWatermark | Action::PauseHeaders => {
                say!("    pauses: nothing here will let it go on")
            }
        }
        Ok(action == Action::Continue)
    }

    /// Prints what was logged and called since the last time.
    fn print(&mut self) {
        let worker = &mut *self.host.worker();
        for (level, message) in worker.log.drain(..) {
            say!("    [{}] {message}", level_name(level));
        }
        log::print();
        for call in &worker.calls[self.calls..] {
            say!("    calls {} {}", call.upstream.escape_ascii(), call.target.escape_ascii());
        }
        self.calls = worker.calls.len();
    }
}

fn request() -> LocalStream {
    let stream = LocalStream::with_headers(&REQUEST);
    let mut request = stream.request();
    for (path, value) in [
        (&b"request\0path"[..], &b"/path?name=value"[..]),
        (b"request\0url_path", b"/path"),
        (b"request\0query", b"name=value"),
        (b"request\0host", b"example.com"),
        (b"request\0scheme", b"https"),
        (b"request\0method", b"POST"),
        (b"request\0protocol", b"HTTP/1.1"),
        (b"source\0address", b"127.0.0.1:40000"),
    ] {
        request.properties.insert(path.to_vec(), value.to_vec());
    }
    drop(request);
    stream
}

fn fields(fields: &[(&str, &str)]) -> Fields {
    fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// Prints the fields that are gone, then the new ones.
fn print_changes(before: &[(Vec<u8>, Vec<u8>)], after: &[(Vec<u8>, Vec<u8>)]) {
    before.iter().filter(|field| !after.contains(field)).for_each(|field| print_field('-', field));
    after.iter().filter(|field| !before.contains(field)).for_each(|field| print_field('+', field));
}

fn print_field(sign: char, (name, value): &(Vec<u8>, Vec<u8>)) {
    say!("    {sign} {}: {}", name.escape_ascii(), value.escape_ascii());
}

fn level_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
        LogLevel::Critical => "critical",
    }
}

fn failed(what: &str, failure: &Failure) -> String {
    format!("failed in {what}: {failure}")
}
