//! Spec v0.2.1, "Foreign function interface".

use wasmtime::Linker;

use crate::proxy_wasm::host::{ForeignFunctions, Host};
use crate::proxy_wasm::memory::{Guest, Result};
use crate::proxy_wasm::state::VmState;
use crate::wasm::memory::GuestBytes;

pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>) -> wasmtime::Result<()> {
    hostcalls! { linker:
        "proxy_call_foreign_function" (
            name: u32, name_size: u32, arguments: u32, arguments_size: u32, return_results: u32, return_size: u32
        ) => call_foreign_function(
            GuestBytes { address: name, size: name_size },
            GuestBytes { address: arguments, size: arguments_size },
            return_results,
            return_size
        );
    }
    Ok(())
}

/// Results are optional: an address of 0 is "not wanted", for each of the two.
fn call_foreign_function<H: Host>(
    guest: &mut Guest<'_, H>,
    name: GuestBytes,
    arguments: GuestBytes,
    return_results: u32,
    return_size: u32,
) -> Result {
    for address in [return_results, return_size] {
        if address != 0 {
            guest.check(address, 4)?;
        }
    }
    let (memory, state) = guest.split();
    let (name, arguments) = (memory.bytes(name)?, memory.bytes(arguments)?);
    let (host, origin) = state.host_and_origin();
    let results = host.call_foreign_function(origin, name, arguments)?;
    if return_results != 0 {
        let given = guest.allocate(results.len())?;
        guest.split().0.bytes_mut(given)?.copy_from_slice(&results);
        guest.write_u32(return_results, given.address)?;
    }
    match return_size {
        0 => Ok(()),
        _ => guest.write_u32(return_size, results.len() as u32),
    }
}
