//! Spec v0.2.1, "Logging".

use wasmtime::Linker;

use crate::abi::LogLevel;
use crate::host::Host;
use crate::memory::{Guest, Result};
use crate::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_log" (level: i32, address: u32, size: u32) => log(level, GuestBytes { address, size });
        "proxy_get_log_level" (return_level: u32) => get_log_level(return_level);
    }
    Ok(())
}

fn log<H: Host>(guest: &mut Guest<'_, H>, level: i32, message: GuestBytes) -> Result {
    let level = LogLevel::try_from(level)?;
    let (memory, state) = guest.split();
    let message = memory.bytes(message)?;
    let (host, stream) = state.host_and_stream();
    if level >= host.log_level(stream) {
        host.log(stream, level, message);
    }
    Ok(())
}

fn get_log_level<H: Host>(guest: &mut Guest<'_, H>, return_level: u32) -> Result {
    let (mut memory, state) = guest.split();
    let (host, stream) = state.host_and_stream();
    Ok(memory.write_u32(return_level, host.log_level(stream) as u32)?)
}

#[cfg(test)]
mod tests {
    use crate::abi::{LogLevel, Status};
    use crate::hostcalls::probe::{OUT, Probe};

    #[test]
    fn messages_below_the_level_are_not_logged() {
        let mut probe = Probe::new();
        probe.host.worker().log_level = LogLevel::Warn;
        let [address, size] = probe.put("hello");
        for level in 0..=5 {
            assert_eq!(probe.call("proxy_log", &[level, address, size]), Status::Ok);
        }
        let levels: Vec<LogLevel> = probe.host.worker().log.iter().map(|(level, _)| *level).collect();
        assert_eq!(levels, [LogLevel::Warn, LogLevel::Error, LogLevel::Critical]);
        assert_eq!(probe.host.take_log(), ["hello"; 3]);
    }

    #[test]
    fn an_unknown_level_is_a_bad_argument() {
        let mut probe = Probe::new();
        let [address, size] = probe.put("hello");
        assert_eq!(probe.call("proxy_log", &[6, address, size]), Status::BadArgument);
        assert_eq!(probe.call("proxy_log", &[u32::MAX, address, size]), Status::BadArgument);
        assert!(probe.host.take_log().is_empty());
    }

    #[test]
    fn the_level_is_told() {
        let mut probe = Probe::without_request();
        probe.host.worker().log_level = LogLevel::Error;
        assert_eq!(probe.call("proxy_get_log_level", &[OUT]), Status::Ok);
        assert_eq!(probe.number(OUT), LogLevel::Error as u32);
    }
}
