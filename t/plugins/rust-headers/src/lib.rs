//! Marks requests and responses with its configuration, through the Rust SDK. The request's headers ask for more:
//! `x-rust-deny` for a 403, `x-rust-echo` for an answer that lists all headers, `x-panic` for a panic.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

#[derive(Default)]
struct Plugin {
    conf: String,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let conf = self.get_plugin_configuration().unwrap_or_default();
        self.conf = String::from_utf8_lossy(&conf).into_owned();
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { id, conf: self.conf.clone() }))
    }
}

struct Request {
    id: u32,
    conf: String,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.get_http_request_header("x-panic").is_some() {
            panic!("the request asked for it");
        }
        if self.get_http_request_header("x-rust-deny").is_some() {
            self.send_http_response(403, vec![], Some(b"denied\n"));
            return Action::Pause;
        }
        if self.get_http_request_header("x-rust-echo").is_some() {
            self.send_http_response(200, vec![], Some(self.echo().as_bytes()));
            return Action::Pause;
        }
        self.add_http_request_header("x-rust-conf", &self.conf);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.add_http_response_header("x-rust", &self.conf);
        info!("rust ctx {} conf {}", self.id, self.conf);
        Action::Continue
    }
}

impl Request {
    /// A line for `:authority`, asked for by name, then one for each header.
    fn echo(&self) -> String {
        let authority = self.get_http_request_header(":authority");
        let mut lines = format!("authority is {authority:?}\n");
        for (name, value) in self.get_http_request_headers() {
            lines += &format!("{name}: {value}\n");
        }
        lines
    }
}
