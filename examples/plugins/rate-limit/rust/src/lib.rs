//! Lets so many requests pass in a window of time, counted over all workers.

mod config;
mod window;

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, Status};

use config::Config;
use window::Window;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { config: None }));
}}

/// A CAS number that no value has: the key is made only if there is none.
const IF_ABSENT: u32 = u32::MAX;

struct Plugin {
    config: Option<Rc<Config>>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => {
                self.config = Some(Rc::new(config));
                true
            }
            Err(reason) => {
                error!("rate-limit: {reason}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let config = self.config.clone()?;
        Some(Box::new(Request { config, remaining: 0 }))
    }
}

struct Request {
    config: Rc<Config>,
    remaining: u32,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        match self.take() {
            Ok(Some(remaining)) => {
                self.remaining = remaining;
                Action::Continue
            }
            Ok(None) => {
                self.send_http_response(self.config.rejected_code, vec![], Some(b"too many requests\n"));
                Action::Pause
            }
            Err(status) => {
                error!("rate-limit: the count cannot be kept, so the request passes: {status:?}");
                Action::Continue
            }
        }
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("x-ratelimit-limit", Some(&self.config.count.to_string()));
        self.set_http_response_header("x-ratelimit-remaining", Some(&self.remaining.to_string()));
        Action::Continue
    }
}

impl Request {
    /// Takes one of the window's requests; tells how many are left, or `None` if none was.
    fn take(&self) -> Result<Option<u32>, Status> {
        let key = self.config.storage_key();
        let now = self.get_current_time().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        loop {
            let (stored, cas) = self.get_shared_data(&key);
            let window = Window::read(stored.as_deref(), now / self.config.time_window);
            let Some((next, remaining)) = window.take(self.config.count) else { return Ok(None) };
            match self.set_shared_data(&key, Some(&next.to_bytes()), cas.or(Some(IF_ABSENT))) {
                Ok(()) => return Ok(Some(remaining)),
                // Another worker was faster.
                Err(Status::CasMismatch) => {}
                Err(status) => return Err(status),
            }
        }
    }
}
