# Installs Rust and its WebAssembly target. Sourced.

# The oldest that builds this: `rust-version` of Cargo.toml.
rust_wanted() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1; }

rust_version() { rustc --version 2>/dev/null | cut -d ' ' -f 2; }

rust_is_new_enough() { has cargo && has rustc && at_least "$(rust_version)" "$(rust_wanted)"; }

install_rust() {
    local wanted
    wanted=$(rust_wanted)
    if ! rust_is_new_enough && has rustup; then
        say "Rust $wanted or newer by rustup"
        rustup update stable || true
    fi
    if ! rust_is_new_enough && at_least "$(apt_version rustc-web)" "$wanted"; then
        apt_install cargo-web rust-web-clippy rustc-web rustfmt-web
        hash -r
    fi
    rust_is_new_enough ||
        die "Rust $wanted or newer is needed, and $(rust_version || true) is here: install it as https://rustup.rs says"
    if has rustup && ! { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
        rustup component add clippy rustfmt
    fi
}

# Is the standard library for WebAssembly part of the toolchain?
has_wasm_std() { [ -d "$(rustc --print sysroot)/lib/rustlib/wasm32-wasip1/lib" ]; }

install_wasm_target() {
    has_wasm_std && return
    if has rustup && rustup target add wasm32-wasip1 && has_wasm_std; then
        return
    fi
    # To build it along, from Debian's source.
    apt_install cargo-web lld-19 rust-web-src rustc-web wasi-libc
}

# cargo_wasm build|clippy ARGUMENTS: for WebAssembly. Where there is no ready-made standard library it is built along: Debian's
# compiler has its source, and the unstable option that asks for it is unlocked.
cargo_wasm() {
    local command=$1
    shift
    # shellcheck disable=SC2086 # several flags
    set -- --release --target wasm32-wasip1 --target-dir "$CARGO_TARGET_DIR/wasm" ${CARGO_FLAGS:-} "$@"
    if has_wasm_std; then
        cargo "$command" "$@"
    else
        PATH=/usr/bin:$PATH RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 \
            CARGO_TARGET_WASM32_WASIP1_LINKER=wasm-ld-19 \
            CARGO_TARGET_WASM32_WASIP1_RUSTFLAGS='-Clink-self-contained=no -Clinker-flavor=wasm-ld
                -Clink-arg=-L/usr/lib/wasm32-wasi -Clink-arg=-lc' \
            cargo "$command" -Zbuild-std=std,panic_abort "$@"
    fi
}
