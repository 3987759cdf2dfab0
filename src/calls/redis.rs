//! Calls of Redis servers. A connection serves one call at a time, and waits for the next one with
//! its login and its database.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ngx_bindings::resolver::Resolver;
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::limits::calls as limits;
use proxy_wasm_host::outgoing::redis::{ReplyEnd, Server, changes_connection, command, command_name};
use proxy_wasm_host::outgoing::{Names, NoServer, Target, TlsServer};

use super::Client;
use super::error::CallError;
use super::pool::{Key, Reusable};
use super::transport::Transport;
use crate::connections;
use crate::host_memory::{Held, HostMemory};
use crate::task::{OnQuit, timeout};

/// Where Redis listens, if the plugin names no port.
const PORT: u16 = 6379;

/// How many bytes are read at once.
const PIECE: usize = 16 << 10;

/// How a connection begins.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Login {
    /// The user; empty for the server's default user.
    pub user: Vec<u8>,
    /// The password; empty for none.
    pub password: Vec<u8>,
    /// The database's number.
    pub database: u32,
}

/// A server, and how a plugin uses it.
pub struct RedisServer {
    /// The name that the plugin has for the server, for the log.
    name: String,
    target: Target,
    tls: Option<TlsServer>,
    login: Rc<Login>,
    timeout: u32,
}

impl RedisServer {
    /// Makes the description of a server. The timeout is in milliseconds.
    ///
    /// # Errors
    /// The name that stands for no server.
    pub fn new(server: &Server<'_>, login: Login, timeout: u32, names: &Names<'_>) -> Result<Self, NoServer> {
        let found = names.find(server.target)?;
        // The certificate must have the name that the plugin has for the server.
        let tls = found.tls(server.tls, found.text(&String::from_utf8_lossy(server.target)));
        let name = server.name.escape_ascii().to_string();
        Ok(Self { name, target: found.target, tls, login: Rc::new(login), timeout })
    }

    /// The name that the plugin has for the server.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A checked call.
pub struct RedisCall {
    server: Rc<RedisServer>,
    command: Vec<u8>,
    /// Whether the connection can serve another call afterwards.
    keeps_connection: bool,
    memory: HostMemory,
    held: RefCell<Held>,
}

/// Why a call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRedisCall {
    /// The bytes are not one command.
    Command,
    /// The worker keeps too many bytes for the plugin already.
    Memory(Status),
}

impl RedisCall {
    /// Checks a call.
    pub fn new(server: Rc<RedisServer>, command: &[u8], memory: HostMemory) -> Result<Self, BadRedisCall> {
        let name = command_name(command).ok_or(BadRedisCall::Command)?;
        let held = memory.take(command.len() + limits::CALL).map_err(BadRedisCall::Memory)?;
        let keeps_connection = !changes_connection(name);
        Ok(Self { server, command: command.to_vec(), keeps_connection, memory, held: RefCell::new(held) })
    }

    /// The server.
    pub fn server(&self) -> &RedisServer {
        &self.server
    }

    /// Counts bytes of the reply. They are kept until the plugin has received the reply.
    fn keep(&self, bytes: usize) -> Result<(), CallError> {
        self.held.borrow_mut().grow(bytes).map_err(|_| CallError::HostMemory)
    }
}

impl Client {
    /// Makes a Redis call and returns the reply as it came. The call's timeout covers everything,
    /// including the wait for a connection's place.
    pub async fn redis(&self, call: &RedisCall, resolver: Option<Resolver>) -> Result<Vec<u8>, CallError> {
        let exchange = async {
            let _place = self.place_of(call.memory).await;
            self.try_redis_servers(call, resolver).await
        };
        timeout(call.server.timeout, OnQuit::Forget, exchange).await.unwrap_or(Err(CallError::Timeout))
    }

    /// Tries the servers in order. The next one is tried only if the connection to the one before
    /// could not be made: a command that was sent may have had its effect.
    async fn try_redis_servers(&self, call: &RedisCall, resolver: Option<Resolver>) -> Result<Vec<u8>, CallError> {
        let server = &call.server;
        let mut candidates = self.candidates(&server.target, PORT, resolver).await?;
        let mut last_error = None;
        while let Some(address) = candidates.next() {
            let key = Key { address, tls: server.tls.clone() };
            let key = RedisKey { key, login: Rc::clone(&server.login) };
            if let Some(connection) = self.redis.take(&key) {
                return self.ask(call, key, connection).await;
            }
            match self.connect(&key.key, b"").await {
                Ok(transport) => {
                    candidates.report(true);
                    let mut connection = RedisConnection::over(transport);
                    return match connection.log_in(call).await? {
                        Some(refusal) => Ok(refusal),
                        None => self.ask(call, key, connection).await,
                    };
                }
                Err(error) => {
                    candidates.report(false);
                    last_error = Some(error);
                }
            }
        }
        Err(last_error.unwrap_or_else(|| CallError::NoLiveServers(server.target.to_string())))
    }

    async fn ask(
        &self,
        call: &RedisCall,
        key: RedisKey,
        mut connection: RedisConnection,
    ) -> Result<Vec<u8>, CallError> {
        let reply = connection.exchange(&call.command, self.response_limit(), &mut |bytes| call.keep(bytes)).await?;
        if call.keeps_connection && !connections::of_worker().anybody_waits() {
            self.redis.put(key, connection);
        }
        Ok(reply)
    }
}

/// The key of a connection: calls with equal keys may share one.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedisKey {
    key: Key,
    login: Rc<Login>,
}

/// A connection to a Redis server. Dropping it closes it, even in the middle of a reply.
pub struct RedisConnection {
    transport: Transport,
    /// Bytes came behind a reply. They belong to no call.
    surplus: bool,
    /// The login was refused. The next call is to try again.
    refused: bool,
}

impl RedisConnection {
    fn over(transport: Transport) -> Self {
        Self { transport, surplus: false, refused: false }
    }

    /// Sends login and database. Returns the server's refusal of the database, which is the reply to
    /// the plugin's command. A refused login is left to the server, as in Higress: the command is
    /// sent, and gets the reply that it gets then.
    async fn log_in(&mut self, call: &RedisCall) -> Result<Option<Vec<u8>>, CallError> {
        let Login { user, password, database } = &*call.server.login;
        if !password.is_empty() {
            let with_user = command(&[b"AUTH", user, password]);
            let auth = if user.is_empty() { command(&[b"AUTH", password]) } else { with_user };
            if let Some(refusal) = self.ask_for_ok(&auth).await? {
                tracing::error!("redis server {} refuses the login: {}", call.server.name, first_line(&refusal));
                self.refused = true;
            }
        }
        if *database == 0 {
            return Ok(None);
        }
        let select = command(&[b"SELECT", database.to_string().as_bytes()]);
        let refusal = self.ask_for_ok(&select).await?;
        if let Some(refusal) = &refusal {
            let refusal = first_line(refusal);
            tracing::error!("redis server {} refuses database {database}: {refusal}", call.server.name);
        }
        Ok(refusal)
    }

    /// Sends a command that has no other reply than `+OK` and an error. Returns the error. Another
    /// reply, or more than one, is that of a server whose replies cannot be told apart.
    async fn ask_for_ok(&mut self, command: &[u8]) -> Result<Option<Vec<u8>>, CallError> {
        let reply = self.exchange(command, PIECE, &mut |_| Ok(())).await?;
        match reply.first() {
            _ if self.surplus => Err(CallError::NotRedis),
            Some(b'+') => Ok(None),
            Some(b'-') => Ok(Some(reply)),
            _ => Err(CallError::NotRedis),
        }
    }

    /// Sends a command and reads its reply, of up to `limit` bytes.
    async fn exchange(
        &mut self,
        command: &[u8],
        limit: usize,
        keep: &mut dyn FnMut(usize) -> Result<(), CallError>,
    ) -> Result<Vec<u8>, CallError> {
        self.expect_silence()?;
        let mut sent = 0;
        while sent < command.len() {
            let rest = &command[sent..];
            sent += poll_fn(|cx| self.transport.connection.poll_write(cx, rest)).await.map_err(CallError::Broken)?;
        }
        let (mut reply, mut end) = (Vec::new(), ReplyEnd::default());
        loop {
            let received = self.receive(&mut reply).await.map_err(CallError::Broken)?;
            let length = end.find(&reply).map_err(|_| CallError::NotRedis)?;
            if length.unwrap_or(end.least().max(reply.len())) > limit {
                return Err(CallError::TooLarge(limit));
            }
            keep(received)?;
            if let Some(length) = length {
                self.surplus |= length < reply.len();
                reply.truncate(length);
                return Ok(reply);
            }
        }
    }

    /// Checks that nothing has come before the command is sent: it would be taken for the reply.
    fn expect_silence(&mut self) -> Result<(), CallError> {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self.transport.connection.poll_read(&mut Context::from_waker(Waker::noop()), &mut byte) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(0)) => Err(CallError::Broken(ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => Err(CallError::NotRedis),
            Poll::Ready(Err(error)) => Err(CallError::Broken(error)),
        }
    }

    /// Reads some bytes, and returns how many.
    async fn receive(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        into.reserve(PIECE);
        let read = poll_fn(|cx| self.transport.connection.poll_read(cx, into.spare_capacity_mut())).await?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: `poll_read` has written so many bytes behind those that were there.
        unsafe { into.set_len(into.len() + read) };
        Ok(read)
    }
}

impl Reusable for RedisConnection {
    /// A server says nothing between two calls, unless it closes the connection.
    fn is_ready(&mut self) -> bool {
        self.expect_silence().is_ok()
    }

    fn is_spent(&self) -> bool {
        self.surplus || self.refused
    }
}

fn first_line(reply: &[u8]) -> String {
    let line = reply.split(|&byte| byte == b'\r').next().unwrap_or_default();
    line[..line.len().min(200)].escape_ascii().to_string()
}
