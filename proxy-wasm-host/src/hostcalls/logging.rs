//! Spec v0.2.1, "Logging".

use crate::abi::LogLevel;
use crate::host::Host;
use crate::journal::Asked;
use crate::limits;
use crate::memory::{Guest, Result};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_log" (level: i32, address: u32, size: u32) => log(level, GuestBytes { address, size });
    "proxy_get_log_level" (return_level: u32) => get_log_level(return_level);
}

fn log<H: Host>(guest: &mut Guest<'_, H>, level: i32, message: GuestBytes) -> Result {
    let level = LogLevel::try_from(level)?;
    let (memory, state) = guest.split();
    let message = memory.bytes(message)?;
    let (host, stream) = state.host_and_stream();
    if level >= host.log_level(stream) {
        lines(message, |line, more| host.log(stream, level, line, more));
    }
    Ok(())
}

/// Writes each line of a message as its own log line, and says with each whether more follow.
/// Otherwise a plugin, or a client that the plugin quotes, could write lines that look like the
/// host's. Lines beyond the limit are replaced by one line that says how much was cut.
pub fn lines(message: &[u8], mut write: impl FnMut(&[u8], bool)) {
    let mut rest = message.get(..limits::LOG_BYTES).unwrap_or(message);
    let mut cut = message.len() - rest.len();
    if !rest.iter().any(is_line_end) {
        write(rest, cut > 0);
    } else {
        let mut left = limits::LOG_LINES;
        while let Some(begin) = rest.iter().position(|byte| !is_line_end(byte)).filter(|_| left > 0) {
            let line = rest[begin..].split(is_line_end).next().unwrap_or_default();
            rest = &rest[begin + line.len()..];
            left -= 1;
            write(line, cut > 0 || !rest.iter().all(is_line_end));
        }
        cut += if rest.iter().all(is_line_end) { 0 } else { rest.len() };
    }
    if cut > 0 {
        write(format!("{cut} more bytes of a plugin's message were not logged").as_bytes(), false);
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

fn get_log_level<H: Host>(guest: &mut Guest<'_, H>, return_level: u32) -> Result {
    let (mut memory, state) = guest.split();
    let (host, stream) = state.host_and_stream();
    let level = host.log_level(stream);
    memory.write_u32(return_level, level as u32)?;
    state.ask(|| Asked::LogLevel { level: level as i32 });
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::abi::{LogLevel, Status};
    use crate::limits;
    use crate::local::probe::{OUT, Probe};

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

    fn written(message: &str) -> Vec<String> {
        let mut written = Vec::new();
        let mut is_followed = true;
        super::lines(message.as_bytes(), |line, more| {
            assert!(is_followed, "the one before was the last");
            is_followed = more;
            written.push(String::from_utf8_lossy(line).into());
        });
        assert!(!is_followed || written.is_empty(), "the last is known as such");
        written
    }

    #[test]
    fn each_line_is_written_by_itself() {
        assert_eq!(written("one"), ["one"]);
        assert_eq!(written(""), [""]);
        assert_eq!(written("one\n"), ["one"]);
        assert_eq!(written("\r\none\r\n\r\ntwo\nthree"), ["one", "two", "three"]);
        assert!(written("\n\n").is_empty());
    }

    #[test]
    fn what_is_too_much_is_cut_and_told() {
        let told = |bytes| format!("{bytes} more bytes of a plugin's message were not logged");
        let long = written(&"x".repeat(limits::LOG_BYTES + 7));
        assert_eq!((long[0].len(), &long[1..]), (limits::LOG_BYTES, &[told(7)][..]));

        let exactly = "x\n".repeat(limits::LOG_LINES);
        assert_eq!(written(&exactly), ["x"; limits::LOG_LINES]);
        let more = written(&format!("{exactly}yes"));
        assert_eq!((more.len(), more.last()), (limits::LOG_LINES + 1, Some(&told(4))));
        let both = written(&"x\n".repeat(limits::LOG_BYTES));
        assert_eq!(both.last(), Some(&told(2 * (limits::LOG_BYTES - limits::LOG_LINES) + 1)));
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
