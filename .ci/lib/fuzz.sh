# cargo-fuzz, and how it is called. Sourced.

tools=$CARGO_TARGET_DIR/tools
PATH=$PATH:$tools/bin

has_cargo_fuzz() { cargo fuzz --version >/dev/null 2>&1; }

install_cargo_fuzz() {
    has_cargo_fuzz && return
    say "installing cargo-fuzz into $tools"
    CARGO_TARGET_DIR=$tools/target cargo install --quiet --locked --root "$tools" cargo-fuzz
    rm -rf "$tools/target"
}

# cargo_fuzz build|run ARGUMENTS. The compiler knows a nightly's options when it is told to bootstrap. What is looked at has no
# unsafe code, so no sanitizer: FUZZ_SANITIZER=address compiles all of it once more, with one.
cargo_fuzz() {
    local command=$1
    shift
    RUSTC_BOOTSTRAP=1 CARGO_INCREMENTAL=0 CARGO_TARGET_DIR=$CARGO_TARGET_DIR/fuzz \
        cargo fuzz "$command" --sanitizer "${FUZZ_SANITIZER:-none}" "$@"
}
