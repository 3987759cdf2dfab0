//! Sets fields of the response and replaces its body.

use std::rc::Rc;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { config: Rc::default() }));
}}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    /// Fields to set, each in place of all of its name.
    headers: Vec<Header>,
    /// In place of the upstream's body.
    body: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Header {
    name: String,
    value: String,
}

struct Plugin {
    config: Rc<Config>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match configuration::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => {
                self.config = Rc::new(config);
                true
            }
            Err(reason) => {
                error!("response-rewrite: {reason}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Response { config: Rc::clone(&self.config) }))
    }
}

struct Response {
    config: Rc<Config>,
}

impl Context for Response {}

impl HttpContext for Response {
    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.config.body.is_some() {
            // What told of the upstream's body; the length of ours is the host's to say.
            self.set_http_response_header("content-length", None);
            self.set_http_response_header("content-encoding", None);
            // APISIX passes a body only to plugins that ask for it by this property.
            self.set_property(vec!["wasm_process_resp_body"], Some(b"true"));
        }
        for Header { name, value } in &self.config.headers {
            self.set_http_response_header(name, Some(value));
        }
        Action::Continue
    }

    /// Drops each piece as it comes, so that nothing is kept of what nobody gets, and sends ours at the end.
    fn on_http_response_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        if let Some(body) = &self.config.body {
            let replacement = if end_of_stream { body.as_bytes() } else { b"" };
            self.set_http_response_body(0, body_size, replacement);
        }
        Action::Continue
    }
}
