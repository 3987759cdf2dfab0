//! Logs every request and response header with the context's id: at `info` if configured so, else at `trace`.
//!
//! What a plugin costs that looks at everything and logs it, or formats it for a level that is off: the benchmarks use it.

use log::{Level, log};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { level: Level::Trace }));
}}

struct Plugin {
    level: Level,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        if self.get_plugin_configuration().as_deref() == Some(b"info") {
            self.level = Level::Info;
        }
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { id, level: self.level }))
    }
}

struct Request {
    id: u32,
    level: Level,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        for (name, value) in self.get_http_request_headers() {
            log!(self.level, "#{} -> {name}: {value}", self.id);
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        for (name, value) in self.get_http_response_headers() {
            log!(self.level, "#{} <- {name}: {value}", self.id);
        }
        Action::Continue
    }

    fn on_log(&mut self) {
        log!(self.level, "#{} completed", self.id);
    }
}
