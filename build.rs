//! Links the library so that nginx can load it beside anything, and tells it which wasmtime it has.

use std::fs;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=WASMTIME_VERSION={}", locked_version("wasmtime").unwrap_or_else(|| "48".into()));
    // nginx resolves its own functions in us when it loads the library; wasmtime's signal handlers must outlive a reload; and a
    // name of ours must never be bound to one in the executable.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    // Function names stay, for profilers and backtraces.
    println!("cargo::rustc-cdylib-link-arg=-Wl,--strip-debug");
}

/// The version of a dependency: wasmtime does not say its own.
fn locked_version(package: &str) -> Option<String> {
    let lock = fs::read_to_string("Cargo.lock").ok()?;
    let (_, entry) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    Some(entry.split('"').next()?.to_owned())
}
