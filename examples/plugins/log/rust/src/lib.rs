//! Writes one line to the error log for every request: which contexts it runs in, and their configuration.

use std::rc::Rc;

use log::warn;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|id| Box::new(Plugin { id, conf: Rc::default() }));
}}

struct Plugin {
    id: u32,
    conf: Rc<str>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let conf = self.get_plugin_configuration().unwrap_or_default();
        self.conf = String::from_utf8_lossy(&conf).into();
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { id, plugin_id: self.id, conf: Rc::clone(&self.conf) }))
    }
}

struct Request {
    id: u32,
    plugin_id: u32,
    conf: Rc<str>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        warn!("run plugin ctx {} with conf {} in http ctx {}", self.plugin_id, self.conf, self.id);
        Action::Continue
    }
}
