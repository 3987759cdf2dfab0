//! Host functions: what a plugin imports from `env`, with one file per chapter of the spec.
//!
//! Every import of ABI 0.1.0, 0.2.0 and 0.2.1 is defined, and Higress's Redis calls, whatever version the plugin advertises:
//! the versions use different names, but never give one name two meanings. A host function is a
//! small safe function on a [`Guest`]. It takes its arguments already decoded, and only [`answer`]
//! turns its result into the number that the guest gets.

use wasmtime::{Caller, Linker, Module};

use super::abi::Status;
use super::host::Host;
use super::memory::{Error, Guest, Result};
use super::state::VmState;

/// Defines the host functions of one chapter, and the list of their names. Each line reads
/// `"name" (the guest's parameters) => function(decoded arguments);`, with `also "older name"` before
/// the semicolon where it has one.
macro_rules! hostcalls {
    ($($name:literal ($($argument:ident: $type:ty),*) => $function:ident($($value:expr),*) $(also $alias:literal)?;)*) => {
        /// The names of this chapter's functions.
        pub const NAMES: &[&str] = &[$($name, $($alias,)?)*];

        /// Defines this chapter's functions.
        ///
        /// # Errors
        /// When the linker has a function of one of these names already.
        pub fn add_to_linker<H: $crate::host::Host>(
            linker: &mut wasmtime::Linker<$crate::state::VmState<H>>,
        ) -> wasmtime::Result<()> {
            $(linker.func_wrap("env", $name, |caller: wasmtime::Caller<'_, $crate::state::VmState<H>>, $($argument: $type),*| {
                $crate::hostcalls::answer(caller, |guest| $function(guest, $($value),*))
            })?;
            $(linker.alias("env", $name, "env", $alias)?;)?)*
            Ok(())
        }
    };
}

mod bounded;
mod buffers;
mod clocks;
mod contexts;
mod fields;
mod foreign_functions;
mod grpc_calls;
mod headers;
mod http_calls;
mod local_response;
mod logging;
mod metrics;
pub mod names;
mod properties;
mod redis_calls;
mod shared_data;
mod shared_queues;
mod streams;
#[cfg(test)]
mod tests;
mod timers;
mod toolchains;
mod upstreams;
mod wasi;

/// Defines every function of `env`. Where a function has several types, it gets the type that
/// `module` imports. [`wasi`](crate::wasm::wasi) defines the functions of WASI.
///
/// # Errors
/// When the linker has a function of one of these names already.
pub fn add_to_linker<H: Host>(linker: &mut Linker<VmState<H>>, module: &Module) -> wasmtime::Result<()> {
    buffers::add_to_linker(linker)?;
    clocks::add_to_linker(linker)?;
    contexts::add_to_linker(linker)?;
    foreign_functions::add_to_linker(linker)?;
    grpc_calls::add_to_linker(linker)?;
    headers::add_to_linker(linker)?;
    http_calls::add_to_linker(linker)?;
    local_response::add_to_linker(linker)?;
    logging::add_to_linker(linker)?;
    metrics::add_to_linker(linker)?;
    properties::add_to_linker(linker)?;
    redis_calls::add_to_linker(linker)?;
    shared_data::add_to_linker(linker)?;
    shared_queues::add_to_linker(linker)?;
    streams::add_to_linker(linker)?;
    upstreams::add_to_linker(linker)?;
    streams::add_without_result(linker, module)?;
    timers::add_to_linker(linker)?;
    toolchains::add_to_linker(linker)
}

/// Runs one host function and returns its status to the guest.
fn answer<'a, H: Host>(
    caller: Caller<'a, VmState<H>>,
    call: impl FnOnce(&mut Guest<'a, H>) -> Result,
) -> wasmtime::Result<i32> {
    match Guest::new(caller).and_then(|mut guest| call(&mut guest)) {
        Ok(()) => Ok(Status::Ok as i32),
        Err(Error::Status(status)) => Ok(status as i32),
        Err(Error::Trap(trap)) => Err(trap),
    }
}
