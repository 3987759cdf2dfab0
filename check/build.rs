//! Links the program without debug information, which wasmtime has a hundred megabytes of.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-bins=-Wl,--strip-debug");
}
