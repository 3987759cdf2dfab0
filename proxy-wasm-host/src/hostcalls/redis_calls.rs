//! Redis calls, an extension of the ABI: proxy-wasm-cpp-host of Higress, `exports.cc`.

use super::bounded;
use crate::abi::Status;
use crate::host::{Host, RedisInit};
use crate::memory::{Guest, Result};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_redis_init" (
        server: u32, server_size: u32, user: u32, user_size: u32, password: u32, password_size: u32, timeout_ms: u32
    ) => redis_init(
        GuestBytes { address: server, size: server_size },
        GuestBytes { address: user, size: user_size },
        GuestBytes { address: password, size: password_size },
        timeout_ms
    );
    "proxy_redis_call" (server: u32, server_size: u32, command: u32, command_size: u32, return_call_id: u32)
        => redis_call(
            GuestBytes { address: server, size: server_size },
            GuestBytes { address: command, size: command_size },
            return_call_id
        );
}

fn redis_init<H: Host>(
    guest: &mut Guest<'_, H>,
    server: GuestBytes,
    user: GuestBytes,
    password: GuestBytes,
    timeout_ms: u32,
) -> Result {
    // The password would be in a file.
    guest.state().obstruct("it said how to log in to Redis while it started");
    let (memory, state) = guest.split();
    let init = RedisInit {
        server: bounded::name(&memory, server, Status::BadArgument)?,
        user: bounded::name(&memory, user, Status::BadArgument)?,
        password: bounded::name(&memory, password, Status::BadArgument)?,
        timeout_ms,
    };
    let (host, origin) = state.host_and_origin();
    Ok(host.redis_init(origin, init)?)
}

fn redis_call<H: Host>(
    guest: &mut Guest<'_, H>,
    server: GuestBytes,
    command: GuestBytes,
    return_call_id: u32,
) -> Result {
    guest.check(return_call_id, 4)?;
    guest.state().obstruct("it called a server while it started");
    let (memory, state) = guest.split();
    let server = bounded::name(&memory, server, Status::BadArgument)?;
    let command = memory.bytes(command)?;
    let id = if state.is_rehearsal() {
        state.unmade_call()
    } else {
        let (host, origin) = state.host_and_origin();
        let id = host.redis_call(origin, server, command)?;
        host.call_started();
        id
    };
    guest.write_u32(return_call_id, id)
}

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn a_login_is_that_of_its_server() {
        let mut probe = Probe::new();
        let (server, user, password) = (probe.put("redis:6379?db=1"), probe.put("plugin"), probe.put("secret"));
        let arguments = [&[server, user, password].concat()[..], &[1000]].concat();
        assert_eq!(probe.call("proxy_redis_init", &arguments), Status::Ok);
        let logins = &probe.host.worker().redis_logins;
        assert_eq!(logins[&b"redis:6379?db=1"[..]], (b"plugin".to_vec(), b"secret".to_vec()));
    }

    #[test]
    fn a_call_knows_its_caller() {
        for (mut probe, context) in [(Probe::new(), 2), (Probe::without_request(), 1)] {
            let (server, command) = (probe.put("redis"), probe.put("*1\r\n$4\r\nPING\r\n"));
            let arguments = [&[server, command].concat()[..], &[OUT]].concat();
            assert_eq!(probe.call("proxy_redis_call", &arguments), Status::Ok);
            assert_eq!(probe.number(OUT), 0);
            let made = &probe.host.worker().calls[0];
            assert_eq!((made.plugin_context, made.context), (1, context));
            assert_eq!((&made.upstream[..], &made.body[..]), (&b"redis"[..], &b"*1\r\n$4\r\nPING\r\n"[..]));
        }
    }
}
