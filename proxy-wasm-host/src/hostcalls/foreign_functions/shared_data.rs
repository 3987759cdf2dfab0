//! What the spec's shared data lacks: to delete a key, to list keys, and values that expire. These
//! functions are this host's own. Numbers are little-endian.

use std::time::Duration;

use crate::abi::Status;
use crate::host::{Host, Result};
use crate::state::VmState;

/// Argument: the key.
pub fn delete<H: Host>(state: &mut VmState<H>, key: &[u8]) -> Result<Vec<u8>> {
    if state.is_rehearsal() {
        return Ok(Vec::new());
    }
    state.host.delete_shared_data(state.plugin.vm_id.as_bytes(), key)?;
    Ok(Vec::new())
}

/// Argument: nothing, or a cursor of 8 bytes and a prefix. Result: the next cursor, 0 at the end, and
/// keys, each after its length in 4 bytes.
pub fn keys<H: Host>(state: &mut VmState<H>, arguments: &[u8]) -> Result<Vec<u8>> {
    let (cursor, prefix) = match arguments {
        [] => (0, arguments),
        _ => {
            let (cursor, prefix) = arguments.split_first_chunk().ok_or(Status::BadArgument)?;
            (u64::from_le_bytes(*cursor), prefix)
        }
    };
    let mut result = vec![0; size_of::<u64>()];
    let next = state.host.shared_data_keys(state.plugin.vm_id.as_bytes(), prefix, cursor, &mut |key| {
        result.extend_from_slice(&(key.len() as u32).to_le_bytes());
        result.extend_from_slice(key);
    })?;
    result[..size_of::<u64>()].copy_from_slice(&next.to_le_bytes());
    Ok(result)
}

/// Argument: the time to live in milliseconds, 8 bytes; a CAS number, 4 bytes; the key's length, 4
/// bytes; the key; the value.
pub fn set_with_ttl<H: Host>(state: &mut VmState<H>, arguments: &[u8]) -> Result<Vec<u8>> {
    let parse = || {
        let (ttl, rest) = arguments.split_first_chunk()?;
        let (cas, rest) = rest.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let (key, value) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let ttl = Some(u64::from_le_bytes(*ttl)).filter(|&ttl| ttl != 0)?;
        Some((Duration::from_millis(ttl), u32::from_le_bytes(*cas), key, value))
    };
    let (ttl, cas, key, value) = parse().ok_or(Status::BadArgument)?;
    if state.is_rehearsal() {
        return Ok(Vec::new());
    }
    state.host.set_expiring_shared_data(state.plugin.vm_id.as_bytes(), key, value, cas, ttl)?;
    Ok(Vec::new())
}
