//! Asks another service whether a request may pass.

mod config;

use std::rc::Rc;

use log::error;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use config::Config;

const FORBIDDEN: u32 = 403;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Plugin { config: Rc::default() }));
}}

struct Plugin {
    config: Rc<Config>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        match Config::parse(&self.get_plugin_configuration().unwrap_or_default()) {
            Ok(config) => {
                self.config = Rc::new(config);
                true
            }
            Err(reason) => {
                error!("forward-auth: {reason}");
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

impl Request {
    /// What the service is told of the request; values that it asked for and that are not there are left out.
    fn question(&self) -> Vec<(String, String)> {
        let service = &self.config.service;
        let fixed = [
            (":method", "GET"),
            (":scheme", &service.scheme),
            (":authority", &service.authority),
            (":path", &service.path),
        ];
        let mut question: Vec<_> = fixed.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        for (name, variable) in [
            ("x-forwarded-proto", "scheme"),
            ("x-forwarded-method", "request_method"),
            ("x-forwarded-host", "host"),
            ("x-forwarded-uri", "request_uri"),
            ("x-forwarded-for", "remote_addr"),
        ] {
            let value = self.get_property(vec![variable]).unwrap_or_default();
            question.push((name.to_owned(), String::from_utf8_lossy(&value).into_owned()));
        }
        for name in &self.config.request_headers {
            // What this plugin says of the request is not the client's to say.
            if !question.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
                && let Some(value) = self.get_http_request_header_bytes(name)
            {
                question.push((name.clone(), text(value)));
            }
        }
        question
    }

    fn refuse(&self) {
        let names = self.config.client_headers.iter();
        let values: Vec<_> =
            names.map(|name| (name, self.get_http_call_response_header_bytes(name).map(text))).collect();
        let headers = values.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?))).collect();
        self.send_http_response(FORBIDDEN, headers, None);
    }
}

impl Context for Request {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, _body_size: usize, _trailers: usize) {
        // A call that failed has no status.
        let status = self.get_http_call_response_header_bytes(":status").and_then(|status| text(status).parse().ok());
        if status.is_none_or(|status: u32| status >= 300) {
            return self.refuse();
        }
        for name in &self.config.upstream_headers {
            let value = self.get_http_call_response_header_bytes(name);
            self.set_http_request_header_bytes(name, value.as_deref());
        }
        self.resume_http_request();
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let question = self.question();
        let question = question.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let service = &self.config.service.authority;
        if let Err(status) = self.dispatch_http_call(service, question, None, vec![], self.config.timeout) {
            error!("forward-auth: {service} cannot be asked: {status:?}");
            self.send_http_response(FORBIDDEN, vec![], None);
        }
        Action::Pause
    }
}

/// The SDK's functions that answer text panic on a value that is not UTF-8, which any client can send.
fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}
