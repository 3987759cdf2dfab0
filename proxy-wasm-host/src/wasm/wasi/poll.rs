//! `poll_oneoff`. It never waits, because nginx's worker has other requests: every clock counts as
//! due, whatever the time is. A guest that sleeps therefore loops until its time has come, or until
//! its callback's deadline.

use wasmtime::{Caller, Linker};

use super::{Errno, Result, Version, WasiHost, answer};
use crate::limits::wasi::SUBSCRIPTIONS;
use crate::wasm::memory::{GuestBytes, LinearMemory};

/// Bytes of an `event`, in both versions.
const EVENT: u32 = 32;

/// `eventtype`: 0 for a clock, 1 for reading, 2 for writing.
const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

/// `eventrwflags`: the other side is gone.
const HANGUP: u8 = 1;

pub fn add_to_linker<T: WasiHost>(linker: &mut Linker<T>, version: Version) -> wasmtime::Result<()> {
    linker.func_wrap(
        version.module,
        "poll_oneoff",
        move |caller: Caller<'_, T>, subscriptions: u32, events: u32, count: u32, return_count: u32| {
            answer(caller, |memory, _| {
                poll(memory, version.subscription_size, subscriptions, events, count, return_count, |_| false)
            })
        },
    )?;
    Ok(())
}

/// Answers subscriptions. `is_file` says which descriptors are of files, which never let a guest wait.
pub fn poll(
    mut memory: LinearMemory<'_>,
    subscription_size: u32,
    subscriptions: u32,
    events: u32,
    count: u32,
    return_count: u32,
    is_file: impl Fn(u32) -> bool,
) -> Result {
    if count == 0 {
        return Err(Errno::Inval);
    }
    memory.check(subscriptions, count.checked_mul(subscription_size).ok_or(Errno::Fault)?)?;
    memory.check(events, count.checked_mul(EVENT).ok_or(Errno::Fault)?)?;
    memory.check(return_count, 4)?;
    // `check` has shown that these sums lie inside the memory, so they cannot wrap.
    let polled = count.min(SUBSCRIPTIONS);
    for index in 0..polled {
        let event = event(&memory, subscriptions + index * subscription_size, &is_file)?;
        memory.write(events + index * EVENT, &event)?;
    }
    Ok(memory.write_u32(return_count, polled)?)
}

/// The event of a subscription: user data, error, type, and for descriptors the number of bytes.
fn event(memory: &LinearMemory<'_>, subscription: u32, is_file: impl Fn(u32) -> bool) -> Result<[u8; EVENT as usize]> {
    let mut event = [0; EVENT as usize];
    event[..8].copy_from_slice(memory.bytes(GuestBytes { address: subscription, size: 8 })?);
    let kind = memory.bytes(GuestBytes { address: subscription + 8, size: 1 })?[0];
    event[10] = kind;
    match (kind, memory.read_u32(subscription + 16)?) {
        (CLOCK, _) | (FD_WRITE, 1 | 2) => {}
        (FD_READ, 0) => event[24] = HANGUP,
        (FD_READ | FD_WRITE, fd) if is_file(fd) => event[16] = 1,
        (FD_READ | FD_WRITE, _) => event[8] = Errno::Badf as u8,
        _ => return Err(Errno::Inval),
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Polls one subscription at 0, with its event at 64 and the number of events at 96.
    fn poll_one(kind: u8, fd: u32) -> (Result, [u8; 32], u8) {
        let mut bytes = [0; 128];
        bytes[..8].copy_from_slice(b"userdata");
        bytes[8] = kind;
        bytes[16..20].copy_from_slice(&fd.to_le_bytes());
        let polled = poll(LinearMemory::new(&mut bytes), 48, 0, 64, 1, 96, |_| false);
        (polled, bytes[64..96].try_into().unwrap(), bytes[96])
    }

    #[test]
    fn a_clock_has_come() {
        let (polled, event, count) = poll_one(CLOCK, 0);
        assert_eq!((polled, count), (Ok(()), 1));
        assert_eq!(&event[..11], b"userdata\0\0\0");
    }

    #[test]
    fn output_can_be_written_and_input_has_ended() {
        assert_eq!(poll_one(FD_WRITE, 1).1[8..11], [0, 0, FD_WRITE]);
        let (_, event, _) = poll_one(FD_READ, 0);
        assert_eq!((event[8], event[10], event[24]), (0, FD_READ, HANGUP));
    }

    #[test]
    fn another_descriptor_is_an_error_in_its_event() {
        for (kind, fd) in [(FD_READ, 1), (FD_WRITE, 0), (FD_READ, 3), (FD_WRITE, u32::MAX)] {
            let (polled, event, count) = poll_one(kind, fd);
            assert_eq!((polled, event[8], count), (Ok(()), Errno::Badf as u8, 1), "{kind} {fd}");
        }
        assert_eq!(poll_one(3, 0).0, Err(Errno::Inval));
    }

    #[test]
    fn hostile_arrays_are_refused() {
        let mut bytes = [0; 128];
        for (subscriptions, events, count, return_count) in [
            (0, 0, 0, 0),
            (u32::MAX, 0, 1, 0),
            (0, u32::MAX, 1, 0),
            (0, 0, 1, u32::MAX - 1),
            (0, 0, 3, 0),
            (0, 0, u32::MAX, 0),
            // 48 times this number is 16 in 32 bits.
            (0, 0, 89_478_486, 0),
        ] {
            assert!(
                poll(LinearMemory::new(&mut bytes), 48, subscriptions, events, count, return_count, |_| false).is_err()
            );
        }
    }
}
