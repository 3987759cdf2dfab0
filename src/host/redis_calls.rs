//! Redis calls, an extension of the ABI that Higress has: checks a call and starts it
//! ([`crate::calls`]).

use std::rc::Rc;

use ngx_bindings::log::Level;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{Origin, RedisCalls, RedisInit, Result};
use proxy_wasm_host::limits::calls as limits;
use proxy_wasm_host::outgoing::NoServer;
use proxy_wasm_host::outgoing::redis::Server;

use super::Caller;
use super::http_calls::{log, resolver};
use crate::calls::{BadRedisCall, CallError, Kind, Login, RedisCall, RedisServer};
use crate::context::{NginxHost, RequestStream};
use crate::task::{OnQuit, spawn};

impl RedisCalls<RequestStream> for NginxHost {
    fn redis_init(&mut self, origin: Origin<'_, RequestStream>, init: RedisInit<'_>) -> Result {
        let (stream, id) = (origin.stream, origin.plugin_context);
        let server = Server::parse(init.server);
        let Some(database) = server.database() else {
            log(stream, format_args!("redis server gets invalid database: {}", init.server.escape_ascii()));
            return Err(Status::BadArgument);
        };
        let timeout = match init.timeout_ms as i32 {
            negative @ ..0 => {
                log(stream, format_args!("invalid timeout: {negative}"));
                return Err(Status::BadArgument);
            }
            0 => limits::REDIS_TIMEOUT,
            _ => init.timeout_ms,
        };
        let size = init.server.len() + init.user.len() + init.password.len() + limits::REDIS_SERVER;
        let held = self.memory_of(stream).take(size)?;
        let login = Login { user: init.user.to_vec(), password: init.password.to_vec(), database };
        let described = RedisServer::new(&server, login, timeout, &self.client.names(self.dialect_of(stream)))
            .map_err(|name| self.refuse_server(stream, &name))?;
        if !self.redis.insert(id, self.plugin_contexts.get(id).as_ref(), server.name, described, held) {
            log(stream, format_args!("a plugin has {} Redis servers, and may not have more", limits::REDIS_SERVERS));
            return Err(Status::InternalFailure);
        }
        Ok(())
    }

    fn redis_call(&mut self, origin: Origin<'_, RequestStream>, server: &[u8], command: &[u8]) -> Result<u32> {
        let stream = origin.stream;
        let caller = self.caller(&origin)?;
        let server = Server::parse(server);
        let described = match self.redis.get(origin.plugin_context, server.name) {
            Some(described) => described,
            None => {
                let names = self.client.names(self.dialect_of(stream));
                RedisServer::new(&server, Login::default(), limits::REDIS_TIMEOUT, &names)
                    .map(Rc::new)
                    .map_err(|name| self.refuse_server(stream, &name))?
            }
        };
        let call = RedisCall::new(described, command, self.memory_of(stream)).map_err(|reason| match reason {
            BadRedisCall::Memory(status) => status,
            BadRedisCall::Command => {
                log(
                    stream,
                    format_args!("redis call gets what is not one command, server: {}", server.name.escape_ascii()),
                );
                Status::BadArgument
            }
        })?;
        let id = self.client.next_id();
        let resolver = resolver(stream);
        let client = Rc::clone(&self.client);
        caller.log(Level::Info, format_args!("register redis call callout id: {id}, server: {}", call.server().name()));
        let task = spawn(OnQuit::Forget, async move {
            let reply = client.redis(&call, resolver).await;
            answer(&caller, id, &call, reply);
        });
        self.calls_of(stream).insert(id, Kind::Http, task);
        Ok(id)
    }
}

/// Calls the plugin with a call's reply.
fn answer(caller: &Caller, id: u32, call: &RedisCall, reply: std::result::Result<Vec<u8>, CallError>) {
    caller.finish(id);
    if let Err(error) = &reply {
        let server = call.server().name();
        caller.log(Level::Error, format_args!("redis call failed: {error}, server: {server}"));
    }
    caller.call(|plugin, http| plugin.on_redis_call_response(http, id, reply.ok()));
}

impl NginxHost {
    fn refuse_server(&self, stream: Option<&RequestStream>, name: &NoServer) -> Status {
        self.refuse_name(stream, "redis call gets invalid host", name);
        Status::BadArgument
    }
}
