//! Logs a part of the request's body, if its configuration says so.

use std::rc::Rc;

use log::{error, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde::Deserialize;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { config: Rc::default() }));
}}

/// Which part of the body to log.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Config {
    process_req_body: bool,
    start: usize,
    /// 0 for all that follows.
    size: usize,
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
                error!("request-body: {reason}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { config: Rc::clone(&self.config) }))
    }
}

struct Request {
    config: Rc<Config>,
}

impl Context for Request {}

impl HttpContext for Request {
    /// APISIX reads a body only for plugins that ask for it by this property.
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.config.process_req_body {
            self.set_property(vec!["wasm_process_req_body"], Some(b"true"));
        }
        Action::Continue
    }

    fn on_http_request_body(&mut self, body_size: usize, end_of_stream: bool) -> Action {
        let Config { process_req_body, start, size } = *self.config;
        if !process_req_body {
            return Action::Continue;
        }
        if !end_of_stream {
            // The next call sees the whole.
            return Action::Pause;
        }
        // The SDK panics where the host refuses a range.
        let body = if start < body_size {
            self.get_http_request_body(start, if size == 0 { body_size - start } else { size })
        } else {
            None
        };
        match body {
            Some(body) => warn!("request get body: {}", String::from_utf8_lossy(&body)),
            None => error!("failed to get body: it has {body_size} bytes"),
        }
        Action::Continue
    }
}
