//! Standard output and error, whose lines go to the log. Spec of Proxy-Wasm v0.2.1, "Logging",
//! `wasi_snapshot_preview1.fd_write`.

use std::mem;

use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::limits::wasi::{LINE, LINES, PARTS, WRITE};
use crate::wasm::memory::{GuestBytes, LinearMemory};

/// The streams that a guest can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// A line that has not ended. It is kept because Go writes a panic's text in tiny pieces.
#[derive(Debug, Default)]
pub struct LineBuffer(Vec<u8>);

impl LineBuffer {
    /// Adds bytes, and passes on each line that ends in them, at most `lines`. Returns how many
    /// bytes it took.
    fn write(&mut self, bytes: &[u8], lines: &mut usize, mut line: impl FnMut(&[u8])) -> usize {
        let mut taken = 0;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            for part in piece.chunks(LINE) {
                if *lines == 0 {
                    return taken;
                }
                self.0.extend_from_slice(part);
                taken += part.len();
                if part.ends_with(b"\n") || self.0.len() >= LINE {
                    self.end_line(&mut line);
                    *lines -= 1;
                }
            }
        }
        taken
    }

    /// Passes on the rest of the line, unless it is blank.
    fn end_line(&mut self, mut line: impl FnMut(&[u8])) {
        let text = self.0.trim_ascii_end();
        if !text.is_empty() {
            line(text);
        }
        self.0.clear();
    }
}

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    linker.func_wrap(
        version.module,
        "fd_write",
        |caller: Caller<'_, T>, fd: u32, parts: u32, count: u32, return_written: u32| {
            answer(caller, |memory, state| write(memory, state, fd, parts, count, return_written))
        },
    )?;
    Ok(())
}

/// Writes to standard output or error.
pub fn write<T: WasiHost>(
    mut memory: LinearMemory<'_>,
    state: &mut T,
    fd: u32,
    parts: u32,
    count: u32,
    return_written: u32,
) -> Result {
    let output = match fd {
        1 => Output::Stdout,
        2 => Output::Stderr,
        _ => return Err(Errno::Badf),
    };
    memory.check(return_written, 4)?;
    let (mut written, mut lines) = (0, LINES);
    for index in 0..count.min(PARTS) {
        let part = parts.checked_add(index * 8).ok_or(Errno::Fault)?;
        let address = memory.read_u32(part)?;
        let size = memory.read_u32(part.checked_add(4).ok_or(Errno::Fault)?)?.min(WRITE - written);
        let bytes = memory.bytes(GuestBytes { address, size })?;
        let taken = with_buffer(state, output, |buffer, state| {
            buffer.write(bytes, &mut lines, |line| state.log_line(output, line))
        });
        // `taken` is never larger than a part.
        written += taken as u32;
        if lines == 0 || written == WRITE {
            break;
        }
    }
    Ok(memory.write_u32(return_written, written)?)
}

/// Logs the text after the last newline at the end of a callback, because the guest may never write
/// the rest.
#[inline]
pub fn flush<T: WasiHost>(state: &mut T) {
    let wasi = state.wasi();
    if !(wasi.stdout.0.is_empty() && wasi.stderr.0.is_empty()) {
        end_lines(state);
    }
}

#[cold]
fn end_lines<T: WasiHost>(state: &mut T) {
    for output in [Output::Stdout, Output::Stderr] {
        if !buffer(state, output).0.is_empty() {
            with_buffer(state, output, |buffer, state| buffer.end_line(|line| state.log_line(output, line)));
        }
    }
}

/// Borrows the buffer and the state separately.
fn with_buffer<T: WasiHost, R>(state: &mut T, output: Output, call: impl FnOnce(&mut LineBuffer, &mut T) -> R) -> R {
    let mut taken = mem::take(buffer(state, output));
    let result = call(&mut taken, state);
    *buffer(state, output) = taken;
    result
}

fn buffer<T: WasiHost>(state: &mut T, output: Output) -> &mut LineBuffer {
    let wasi = state.wasi();
    match output {
        Output::Stdout => &mut wasi.stdout,
        Output::Stderr => &mut wasi.stderr,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&str]) -> (Vec<String>, String) {
        let (mut buffer, mut lines) = (LineBuffer::default(), Vec::new());
        for piece in pieces {
            let push = |line: &[u8]| lines.push(String::from_utf8_lossy(line).into_owned());
            assert_eq!(buffer.write(piece.as_bytes(), &mut LINES.clone(), push), piece.len());
        }
        (lines, String::from_utf8_lossy(&buffer.0).into_owned())
    }

    #[test]
    fn a_line_is_put_together_from_pieces() {
        let (lines, rest) = lines(&["panic: ", "oh ", "no\n", "\n", "goroutine 1\r\ntwo\nthr", "ee"]);
        assert_eq!(lines, ["panic: oh no", "goroutine 1", "two"]);
        assert_eq!(rest, "three");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let text = "x".repeat(10_000);
        let (lines, rest) = lines(&[&text[..3000], &text[3000..], "\n"]);
        assert!(
            lines.iter().all(|line| line.len() < 2 * LINE),
            "{:?}",
            lines.iter().map(String::len).collect::<Vec<_>>()
        );
        assert_eq!(lines.concat(), text);
        assert_eq!(rest, "");
    }
}
