//! Every `proxy_on_*` export: names the arguments for the script, runs its steps, hands back what it returns.
//!
//! `proxy_on_request_headers` and `proxy_on_response_headers` are exported by `header_callbacks!`.

use crate::abi::common as host;
use crate::memory::Returned;
use crate::outcome::Outcome;
use crate::run::{Frame, log};
use crate::script::Script;
use crate::{contexts, ops};

const ERROR: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

pub fn start(chapters: &'static [ops::Chapter]) {
    unsafe extern "C" {
        fn __wasm_call_ctors();
    }
    // SAFETY: what the linker makes of the C library's initialisers; called once, first.
    unsafe { __wasm_call_ctors() };
    ops::start(chapters);
}

/// The names a script may use: declared once, beside the exports.
macro_rules! callbacks {
    ($( $(#[$attribute:meta])* $name:ident / $export:ident ( $($arg:ident),* ) -> $kind:ident; )*) => {
        pub const NAMES: &[&str] = &[
            "on_context_create", "on_done", "on_log", "on_delete", "on_vm_start", "on_configure",
            "on_request_headers", "on_response_headers", $(stringify!($name)),*
        ];
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $export(id: u32, $($arg: u32),*) -> $kind {
                $kind::of(run(stringify!($name), id, vec![$(parameter(stringify!($arg), $arg)),*]))
            }
        )*
    };
}

callbacks! {
    on_tick / proxy_on_tick() -> Nothing;
    on_new_connection / proxy_on_new_connection() -> Action;
    on_downstream_data / proxy_on_downstream_data(data_size, end_of_stream) -> Action;
    on_downstream_connection_close / proxy_on_downstream_connection_close(peer_type) -> Nothing;
    on_upstream_data / proxy_on_upstream_data(data_size, end_of_stream) -> Action;
    on_upstream_connection_close / proxy_on_upstream_connection_close(peer_type) -> Nothing;
    on_request_body / proxy_on_request_body(body_size, end_of_stream) -> Action;
    on_request_trailers / proxy_on_request_trailers(num_trailers) -> Action;
    on_response_body / proxy_on_response_body(body_size, end_of_stream) -> Action;
    on_response_trailers / proxy_on_response_trailers(num_trailers) -> Action;
    on_http_call_response / proxy_on_http_call_response(token, num_headers, body_size, num_trailers) -> Nothing;
    on_redis_call_response / proxy_on_redis_call_response(token, status_code, reply_size) -> Nothing;
    on_grpc_receive_initial_metadata / proxy_on_grpc_receive_initial_metadata(token, num_elements) -> Nothing;
    on_grpc_receive / proxy_on_grpc_receive(token, message_size) -> Nothing;
    on_grpc_receive_trailing_metadata / proxy_on_grpc_receive_trailing_metadata(token, num_elements) -> Nothing;
    on_grpc_close / proxy_on_grpc_close(token, status_code) -> Nothing;
    on_queue_ready / proxy_on_queue_ready(queue_id) -> Nothing;
    on_foreign_function / proxy_on_foreign_function(function_id, arguments_size) -> Nothing;
}

type Nothing = ();
type Action = u32;

trait Reply {
    fn of(returned: Option<String>) -> Self;
}

impl Reply for Nothing {
    fn of(_: Option<String>) {}
}

/// Continue, unless the script says `pause` or a number.
impl Reply for Action {
    fn of(returned: Option<String>) -> Self {
        match returned.as_deref() {
            None | Some("continue") => 0,
            Some("pause") => 1,
            Some(other) => other.parse().unwrap_or_else(|_| panic!("{other} is no action")),
        }
    }
}

pub fn on_request_headers(id: u32, num_headers: u32, end: Option<u32>) -> u32 {
    headers("on_request_headers", id, num_headers, end)
}

pub fn on_response_headers(id: u32, num_headers: u32, end: Option<u32>) -> u32 {
    headers("on_response_headers", id, num_headers, end)
}

fn headers(name: &'static str, id: u32, num_headers: u32, end: Option<u32>) -> u32 {
    let mut parameters = vec![parameter("num_headers", num_headers)];
    parameters.extend(end.map(|end| parameter("end_of_stream", end)));
    Action::of(run(name, id, parameters))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(id: u32, parent_id: u32) {
    contexts::create(id, parent_id);
    run("on_context_create", id, vec![parameter("parent_id", parent_id)]);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(id: u32, size: u32) -> u32 {
    truth(run("on_vm_start", id, vec![parameter("vm_configuration_size", size)]))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(id: u32, size: u32) -> u32 {
    match Script::parse(&plugin_configuration().unwrap_or_default()) {
        Ok(script) => contexts::set_script(id, script),
        Err(reason) => {
            log(ERROR, format!("hostcalls: bad script: {reason}").as_bytes());
            return 0;
        }
    }
    truth(run("on_configure", id, vec![parameter("plugin_configuration_size", size)]))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_done(id: u32) -> u32 {
    truth(run("on_done", id, vec![]))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_log(id: u32) {
    run("on_log", id, vec![]);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(id: u32) {
    run("on_delete", id, vec![]);
    contexts::delete(id);
}

fn parameter(name: &'static str, value: u32) -> (&'static str, String) {
    match name {
        "end_of_stream" => (name, (value != 0).to_string()),
        _ => (name, value.to_string()),
    }
}

fn run(name: &'static str, id: u32, mut parameters: Vec<(&'static str, String)>) -> Option<String> {
    let plugin_id = contexts::plugin_of(id);
    if let Some((_, token)) = parameters.iter().find(|(name, _)| *name == "token") {
        let caller = token.parse().ok().and_then(|token| contexts::caller(plugin_id, token));
        parameters.extend(caller.map(|id| parameter("caller", id)));
    }
    let mut frame = Frame::new(name, id, parameters);
    let script = contexts::script(plugin_id).or_else(|| early_script(plugin_id))?;
    frame.run(&script)
}

/// Before `proxy_on_configure` a host may give the configuration, or not.
fn early_script(plugin_id: u32) -> Option<std::rc::Rc<Script>> {
    contexts::set_script(plugin_id, Script::parse(&plugin_configuration()?).ok()?);
    contexts::script(plugin_id)
}

fn plugin_configuration() -> Option<Vec<u8>> {
    let returned = Returned::default();
    let (data, size) = (returned.data.address(), returned.size.address());
    let status = host::proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, u32::MAX, data, size);
    Outcome::with_bytes(status, &returned).value
}

/// True, unless the script says `false`.
fn truth(returned: Option<String>) -> u32 {
    match returned.as_deref() {
        None | Some("true") => 1,
        Some("false") => 0,
        Some(other) => other.parse().unwrap_or_else(|_| panic!("{other} is neither true nor false")),
    }
}
