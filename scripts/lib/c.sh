# Builds C for WebAssembly with clang, its linker and WASI's libc. Sourced.

install_clang() {
    apt_install clang lld wasi-libc
    has clang || return 0
    # Its run-time library is packaged by clang's version.
    apt_install "libclang-rt-$(clang -dumpversion | cut -d . -f 1)-dev-wasm32"
}

require_clang() { has clang || die "clang, lld and wasi-libc are needed to build the plugin in C: make deps installs them"; }

# clang_wasm ARGUMENTS: a plugin is a library, which the host starts by _initialize.
clang_wasm() { clang --target=wasm32-wasi -mexec-model=reactor -std=c11 -Wall -Wextra -Werror "$@"; }
