//! Links the library so that nginx can load it beside anything, and tells it which wasmtime it has.

use std::{env, fs};

/// Set while the module's own unit tests are linked.
const UNIT_TESTS: &str = "PROXY_WASM_UNIT_TESTS";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=WASMTIME_VERSION={}", locked_version("wasmtime").unwrap_or_else(|| "48".into()));
    // nginx resolves its own functions in us when it loads the library; wasmtime's signal handlers must outlive a reload; and a
    // name of ours must never be bound to one in the executable.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    println!("cargo::rerun-if-env-changed={UNIT_TESTS}");
    if env::var_os(UNIT_TESTS).is_some() {
        // No nginx is there, and no test calls it.
        println!("cargo::rustc-link-arg=-Wl,--unresolved-symbols=ignore-all");
        println!("cargo::rustc-link-arg=-Wl,-z,lazy");
    }
    // Function names stay, for profilers and backtraces.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--strip-debug");
}

/// The version of a dependency: wasmtime does not say its own.
fn locked_version(package: &str) -> Option<String> {
    let lock = fs::read_to_string("Cargo.lock").ok()?;
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.split('"').next()?.to_owned())
}
