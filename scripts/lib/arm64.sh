# Installs what builds for arm64 on another machine, and what runs that there. Sourced, after apt.sh, packages.sh and rust.sh.

install_arm64() {
    local triple=aarch64-unknown-linux-gnu
    packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    [ -d "$(rustc --print sysroot)/lib/rustlib/$triple/lib" ] || { has rustup && rustup target add "$triple"; } ||
        die "Rust's standard library for $triple is needed: Rust that rustup has installed gets it by \`rustup target add\`"
}
