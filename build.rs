//! Links the library so that nginx can load it beside anything.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // nginx resolves its own functions in us when it loads the library; wasmtime's signal handlers must outlive a reload; and a
    // name of ours must never be bound to one in the executable.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    // Function names stay, for profilers and backtraces. (Cargo's own `strip` does not reach a library that is also an rlib.)
    println!("cargo::rustc-cdylib-link-arg=-Wl,--strip-debug");
}
