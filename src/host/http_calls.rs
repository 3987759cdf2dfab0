//! Spec, "HTTP calls": checks a call and starts it, by Lua or by the worker's own client
//! ([`crate::calls`]).

use std::fmt::Arguments;
use std::rc::Rc;

use ngx_bindings::event;
use ngx_bindings::log::Level;
use ngx_bindings::resolver::Resolver;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{HttpCall, HttpCalls, Origin, Result};
use proxy_wasm_host::outgoing::NoServer;
use proxy_wasm_host::{Dialect, HttpCallResponse};

use super::Caller;
use super::log::with_log;
use crate::calls::{BadCall, CallError, Calls, Client, Kind, MAX_CALLS, Outgoing};
use crate::context::{LuaCall, NginxHost, RequestStream};
use crate::host_memory::HostMemory;
use crate::limits::worker::LOG_NAME;
use crate::task::{OnQuit, spawn};

impl HttpCalls<RequestStream> for NginxHost {
    fn http_call(&mut self, origin: Origin<'_, RequestStream>, call: HttpCall<'_>) -> Result<u32> {
        let stream = origin.stream;
        let caller = self.caller(&origin)?;
        let dialect = self.dialect_of(stream);
        let outgoing = Outgoing::new(&call, self.memory_of(stream), &self.client.names(dialect), dialect);
        let outgoing = Rc::new(outgoing.map_err(|reason| self.refuse(stream, &reason))?);
        let id = self.client.next_id();
        let host = call.upstream.escape_ascii();
        caller.log(Level::Info, format_args!("register http call callout id: {id}, host: {host}"));
        let resolver = resolver(stream);
        let client = Rc::clone(&self.client);
        let plugin = origin.plugin_context;
        let by_lua = stream.and_then(|stream| queue_for_lua(stream, id, &outgoing, &client));
        let kind = if by_lua.is_some() { Kind::OfLua } else { Kind::Http };
        let task = spawn(OnQuit::Forget, async move {
            let result = match by_lua {
                Some(call) => call.response(&client, resolver).await,
                None => client.call(&outgoing, resolver).await,
            };
            answer(&caller, id, plugin, dialect, &outgoing, result);
        });
        self.calls_of(stream).insert(id, kind, task);
        Ok(id)
    }
}

impl NginxHost {
    /// Returns the receiver of a call's outcome.
    ///
    /// # Errors
    /// `InternalFailure` where calls cannot be made.
    pub(super) fn caller(&self, origin: &Origin<'_, RequestStream>) -> Result<Caller> {
        if !event::is_looping() {
            tracing::error!("calls can be made in a worker only, not while nginx reads its configuration");
            return Err(Status::InternalFailure);
        }
        let calls = self.calls_of(origin.stream);
        if calls.len() >= MAX_CALLS {
            log(origin.stream, format_args!("a plugin has {MAX_CALLS} calls under way, and may not have more"));
            return Err(Status::InternalFailure);
        }
        match origin.stream {
            Some(stream) => Ok(Caller::http(stream, calls, !self.of_request)),
            // Nobody would receive the outcome.
            None if self.of_request => Err(Status::InternalFailure),
            None => Ok(Caller::plugin(
                &self.plugin_contexts.get(origin.plugin_context).ok_or(Status::InternalFailure)?,
                calls,
            )),
        }
    }

    /// Returns the account of kept bytes for the caller.
    pub(super) fn memory_of(&self, stream: Option<&RequestStream>) -> HostMemory {
        stream.map_or(self.memory, |stream| stream.slot().memory())
    }

    /// Returns the dialect of the caller.
    pub(super) fn dialect_of(&self, stream: Option<&RequestStream>) -> Dialect {
        stream.map_or(self.dialect, |stream| stream.slot().dialect())
    }

    fn refuse(&self, stream: Option<&RequestStream>, reason: &BadCall) -> Status {
        match reason {
            BadCall::Host(name) => self.refuse_name(stream, "http call gets invalid host", name),
            BadCall::Timeout(timeout) => self.complain(stream, format_args!("invalid timeout: {timeout}")),
            BadCall::Memory(status) => return *status,
            BadCall::Missing(name) => self.complain(stream, format_args!("http call has no {name}")),
            BadCall::Field(name) => {
                self.complain(stream, format_args!("http call gets invalid header: {}", name.escape_ascii()));
            }
        }
        Status::BadArgument
    }

    /// Logs that a plugin calls a name that stands for no server. A plugin of Envoy calls a cluster:
    /// the line tells what makes its name known here.
    pub(super) fn refuse_name(&self, stream: Option<&RequestStream>, what: &str, NoServer(name): &NoServer) {
        if self.dialect_of(stream) == Dialect::CModule || name.is_empty() {
            return self.complain(stream, format_args!("{what}: {}", name.escape_ascii()));
        }
        // A plugin may have made the name of what a client sent.
        let name = name[..name.len().min(LOG_NAME)].escape_ascii();
        self.complain(
            stream,
            format_args!(
                "{what}: {name}; if that is a cluster's name, write into http of nginx.conf where its servers are: \
                 wasm_upstream \"{name}\" HOST:PORT;"
            ),
        );
    }

    /// Logs an error about a call that is refused. A plugin may make it with each request, so it is
    /// not logged again and again, except on the Lua path.
    pub(super) fn complain(&self, stream: Option<&RequestStream>, message: Arguments<'_>) {
        let is_due = || self.memory_of(stream).account().call_log().is_due(message);
        if self.dialect_of(stream) == Dialect::CModule || is_due() {
            log(stream, message);
        }
    }

    /// Returns the list that keeps a new call: the request's if a request makes the call, or else
    /// this instance's.
    pub(super) fn calls_of<'a>(&'a self, stream: Option<&'a RequestStream>) -> &'a Calls {
        stream.map_or(&self.calls, |stream| stream.calls(&self.calls))
    }
}

/// Leaves a call of a request to Lua, if a Lua thread waits for the plugin.
fn queue_for_lua(stream: &RequestStream, id: u32, call: &Rc<Outgoing>, client: &Client) -> Option<Rc<LuaCall>> {
    let ctx = stream.ctx();
    let queued = ctx.lua_thread.calls.queue(stream.slot().index(), id, call, client)?;
    stream.request().log().print(
        Level::Notice,
        format_args!("send http request to {}, method: {}, timeout in ms: {}", call.uri(), call.method(), call.timeout),
    );
    // Wakes Lua's thread for a call that was made elsewhere, as in a tick.
    ctx.after_callback();
    Some(queued)
}

/// Returns the resolver of the request's location, or of `http` outside requests.
pub(super) fn resolver(stream: Option<&RequestStream>) -> Option<Resolver> {
    stream.map_or_else(Resolver::of_http, |stream| Resolver::of(stream.request()))
}

/// Calls the plugin with a call's response.
fn answer(
    caller: &Caller,
    id: u32,
    plugin: u32,
    dialect: Dialect,
    call: &Outgoing,
    result: std::result::Result<HttpCallResponse, CallError>,
) {
    caller.finish(id);
    let response = result.unwrap_or_else(|error| {
        caller.log(Level::Error, format_args!("http call failed: {error}, uri: {}", call.uri()));
        error.response(dialect)
    });
    caller.log(Level::Info, format_args!("run http callback callout id: {id}, plugin ctx id: {plugin}"));
    caller.call(|plugin, http| plugin.on_http_call_response(http, id, response));
}

/// Logs an error in the request's log, or in the worker's.
pub(super) fn log(stream: Option<&RequestStream>, message: Arguments<'_>) {
    with_log(stream, |log| log.print(Level::Error, message));
}
