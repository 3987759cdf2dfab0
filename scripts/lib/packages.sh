# Installs the Debian packages that are needed besides Rust and Go. Sourced.

install_build_packages() {
    # nginx to build against and to run on; libclang reads its headers.
    apt_install ca-certificates curl gcc libc6-dev libclang-dev make nginx nginx-dev
}

install_test_packages() {
    # The Lua module that the Lua path needs.
    apt_install libnginx-mod-http-lua libnginx-mod-http-ndk lua-cjson lua-resty-core lua-resty-lrucache perl procps

    # What other nginxes with Lua are built with.
    apt_install dpkg-dev libluajit2-5.1-dev libpcre2-dev libssl-dev patchelf pkg-config zlib1g-dev

    # What Test::Nginx, or our runner of its language, is written with.
    apt_install libipc-run-perl liblist-moreutils-perl libtest-base-perl libtest-longstring-perl libtext-diff-perl \
        libwww-perl

    # Prometheus' own parser, for what wasm_metrics serves.
    apt_install python3-prometheus-client

    # A server that plugins call.
    apt_install redis-server

    # The fuzzer is C++. valgrind counts instructions for make bench, and looks for memory that is misused for make valgrind.
    apt_install g++ valgrind

    # Linters. luajit2 is the LuaJIT that the Lua module is built on; Debian's luajit would remove that module.
    apt_install luajit2 shellcheck
}
