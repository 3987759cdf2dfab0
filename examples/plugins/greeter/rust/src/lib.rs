//! Answers requests that have a header `x-greet` with its configuration, and lets the others pass.

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { greeting: Rc::default() }));
}}

/// One for each place that the plugin is configured in.
struct Plugin {
    greeting: Rc<str>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match greeting(self.get_plugin_configuration()) {
            Ok(greeting) => {
                self.greeting = greeting.into();
                true
            }
            Err(reason) => {
                error!("greeter: {reason}");
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { greeting: Rc::clone(&self.greeting) }))
    }
}

/// What the configuration says. The host gives none if it is empty.
fn greeting(configuration: Option<Vec<u8>>) -> Result<String, &'static str> {
    let text = configuration.ok_or("no greeting is configured")?;
    String::from_utf8(text).map_err(|_| "the greeting is not UTF-8")
}

/// One for each request.
struct Request {
    greeting: Rc<str>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        if self.get_http_request_header_bytes("x-greet").is_none() {
            return Action::Continue;
        }
        info!("greeting with {}", self.greeting);
        let body = format!("{}\n", self.greeting);
        self.send_http_response(200, vec![("content-type", "text/plain")], Some(body.as_bytes()));
        Action::Pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_is_text() {
        assert_eq!(greeting(Some(b"good day".to_vec())).as_deref(), Ok("good day"));
        assert!(greeting(None).is_err());
        assert!(greeting(Some(vec![0xff])).is_err());
    }
}
