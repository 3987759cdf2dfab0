//! A part of the `hostcalls` guest's script, through the Rust SDK: what a plugin author would write. `go-streams` is the same in Go.
//!
//! Logs every callback with its arguments, `on_request_body ID 5 true`, then runs the steps that the configuration has for it.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Plugin::default()));
}}

#[derive(Default)]
struct Plugin {
    script: Rc<Value>,
}

impl Context for Plugin {}

impl RootContext for Plugin {
    fn on_configure(&mut self, _size: usize) -> bool {
        let configuration = self.get_plugin_configuration().unwrap_or_default();
        let script = serde_json::from_slice(&configuration).inspect_err(|error| log::error!("rust-streams: {error}"));
        self.script = Rc::new(script.unwrap_or_default());
        self.script.is_object()
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request { id, script: Rc::clone(&self.script) }))
    }
}

struct Request {
    id: u32,
    script: Rc<Value>,
}

impl Context for Request {
    fn on_http_call_response(&mut self, _token: u32, _headers: usize, body_size: usize, _trailers: usize) {
        self.run("on_http_call_response", body_size, None);
    }

    fn on_done(&mut self) -> bool {
        self.run("on_done", 0, None) == Action::Continue
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.run("on_request_headers", count, Some(end_of_stream))
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.run("on_request_body", size, Some(end_of_stream))
    }

    fn on_http_response_headers(&mut self, count: usize, end_of_stream: bool) -> Action {
        self.run("on_response_headers", count, Some(end_of_stream))
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.run("on_response_body", size, Some(end_of_stream))
    }

    fn on_http_response_trailers(&mut self, count: usize) -> Action {
        self.run("on_response_trailers", count, None)
    }

    fn on_log(&mut self) {
        self.run("on_log", 0, None);
    }
}

impl Request {
    /// Logs the callback, runs its steps and answers what they return.
    fn run(&self, callback: &str, size: usize, end_of_stream: Option<bool>) -> Action {
        let end = end_of_stream.map(|end| end.to_string()).unwrap_or_default();
        info!("{callback} {} {size} {end}", self.id);
        let steps = self.script[callback].as_array().map(Vec::as_slice).unwrap_or_default();
        steps.iter().find_map(|step| self.step(step, &end)).unwrap_or(Action::Continue)
    }

    fn step(&self, step: &Value, end_of_stream: &str) -> Option<Action> {
        if let Some(wanted) = step["until_end"].as_array() {
            let steps = if end_of_stream == "true" { wanted.as_slice() } else { return Some(Action::Pause) };
            return steps.iter().find_map(|step| self.step(step, end_of_stream));
        }
        let text = |i: usize| step[i].as_str().unwrap_or_default();
        match (text(0), text(1)) {
            ("return", _) => return Some(Action::Pause),
            ("get_buffer_bytes", buffer) => self.log_value(step, self.buffer(buffer)),
            ("set_buffer_bytes", buffer) => {
                let at = |i: usize, or: u64| step[i].as_u64().unwrap_or(or) as usize;
                let (start, size, value) = (at(3, 0), at(4, u64::from(u32::MAX)), text(2).as_bytes());
                match buffer {
                    "request_body" => self.set_http_request_body(start, size, value),
                    _ => self.set_http_response_body(start, size, value),
                }
            }
            ("get_header_map_value", "request") => self.log_value(step, self.get_http_request_header_bytes(text(2))),
            ("get_header_map_value", "response") => self.log_value(step, self.get_http_response_header_bytes(text(2))),
            ("get_header_map_value", _) => self.log_value(step, self.get_http_response_trailer_bytes(text(2))),
            ("replace_header_map_value", "request") => self.set_http_request_header(text(2), Some(text(3))),
            ("replace_header_map_value", "response") => self.set_http_response_header(text(2), Some(text(3))),
            ("replace_header_map_value", _) => self.set_http_response_trailer(text(2), Some(text(3))),
            ("remove_header_map_value", "response") => self.set_http_response_header(text(2), None),
            ("remove_header_map_value", _) => self.set_http_response_trailer(text(2), None),
            ("set_property", name) => self.set_property(vec![name], Some(text(2).as_bytes())),
            ("get_property", name) => self.log_value(step, self.get_property(vec![name])),
            ("continue_stream", "request") => self.resume_http_request(),
            ("continue_stream", _) => self.resume_http_response(),
            ("send_local_response", _) => {
                let status = step[1].as_u64().unwrap_or(200) as u32;
                self.send_http_response(status, vec![("x-local", "1")], Some(text(2).as_bytes()));
            }
            ("http_call", upstream) => {
                let headers = vec![(":method", "GET"), (":path", text(2)), (":authority", "a")];
                let sent = self.dispatch_http_call(upstream, headers, None, vec![], Duration::from_secs(5));
                sent.expect("a call");
            }
            (other, _) => panic!("there is no step {other}"),
        }
        None
    }

    fn buffer(&self, buffer: &str) -> Option<Vec<u8>> {
        match buffer {
            "request_body" => self.get_http_request_body(0, usize::MAX),
            "response_body" => self.get_http_response_body(0, usize::MAX),
            _ => self.get_http_call_response_body(0, usize::MAX),
        }
    }

    /// `get_buffer_bytes BUFFER -> VALUE`, or `get NAME -> VALUE` of a field or a property.
    fn log_value(&self, step: &Value, value: Option<Vec<u8>>) {
        let argument = step.as_array().and_then(|step| step.last()).and_then(Value::as_str).unwrap_or_default();
        let value = value.map(|value| String::from_utf8_lossy(&value).into_owned()).unwrap_or("none".to_owned());
        let operation = if step[0] == "get_buffer_bytes" { "get_buffer_bytes" } else { "get" };
        info!("{operation} {argument} -> {value}");
    }
}
