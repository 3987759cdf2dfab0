//! Spec v0.2.1, "Foreign function interface".

use super::bounded;
use crate::abi::Status;
use crate::host::Host;
use crate::memory::{Guest, Result};
use crate::wasm::memory::GuestBytes;

hostcalls! {
    "proxy_call_foreign_function" (
        name: u32, name_size: u32, arguments: u32, arguments_size: u32, return_results: u32, return_size: u32
    ) => call_foreign_function(
        GuestBytes { address: name, size: name_size },
        GuestBytes { address: arguments, size: arguments_size },
        return_results,
        return_size
    );
}

/// Results are optional: for each of the two addresses, 0 means "not wanted".
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
    guest.state().obstruct("it called a foreign function while it started");
    let (memory, state) = guest.split();
    let (name, arguments) = (bounded::name(&memory, name, Status::NotFound)?, memory.bytes(arguments)?);
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

#[cfg(test)]
mod tests {
    use crate::abi::Status;
    use crate::local::probe::{OUT, Probe};

    #[test]
    fn a_function_is_called_by_name() {
        let mut probe = Probe::new();
        let (name, arguments, other) = (probe.put("echo"), probe.put("hello"), probe.put("other"));
        let call = [name, arguments].concat();
        assert_eq!(probe.get("proxy_call_foreign_function", &call), Ok(b"hello".to_vec()));
        assert_eq!(probe.get("proxy_call_foreign_function", &[other, arguments].concat()), Err(Status::NotFound));
        assert_eq!(probe.host.worker().echoes, [(2, b"hello".to_vec())]);
    }

    #[test]
    fn results_need_not_be_wanted() {
        let mut probe = Probe::new();
        let call = [probe.put("echo"), probe.put("hello")].concat();
        assert_eq!(probe.call("proxy_call_foreign_function", &[&call[..], &[0, 0]].concat()), Status::Ok);
        assert_eq!(probe.call("proxy_call_foreign_function", &[&call[..], &[0, OUT]].concat()), Status::Ok);
        assert_eq!(probe.number(OUT), 5);
    }
}
