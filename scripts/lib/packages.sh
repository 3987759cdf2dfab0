# Which packages are needed besides Rust, Go and clang, and what they are called. Sourced, after apt.sh.

# By their names on Debian 12, each with those of other systems where they are others: on Debian 13, which later releases and Ubuntu
# follow, Fedora, and Alpine. `-` is a package that there is not.
package_names() {
    cat <<'TABLE'
libc6-dev                =                   glibc-devel                 musl-dev
libclang-dev             =                   clang-devel                 clang-dev
nginx-dev                =                   nginx-mod-devel             -
libnginx-mod-http-lua    =                   -                           nginx-mod-http-lua
libnginx-mod-http-ndk    =                   -                           nginx-mod-devel-kit
lua-cjson                =                   -                           lua5.1-cjson
lua-resty-core           =                   -                           =
lua-resty-lrucache       =                   -                           =
procps                   =                   procps-ng                   procps-ng
dpkg-dev                 =                   =                           dpkg-dev
libluajit2-5.1-dev       libluajit-5.1-dev   luajit-devel                luajit-dev
libpcre2-dev             =                   pcre2-devel                 pcre2-dev
libssl-dev               =                   openssl-devel               openssl-dev
pkg-config               =                   pkgconf-pkg-config          pkgconf
zlib1g-dev               =                   zlib-devel                  zlib-dev
libipc-run-perl          =                   perl-IPC-Run                perl-ipc-run
liblist-moreutils-perl   =                   perl-List-MoreUtils         perl-list-moreutils
libtest-base-perl        =                   perl-Test-Base              -
libtest-longstring-perl  =                   perl-Test-LongString        perl-test-longstring
libtext-diff-perl        =                   perl-Text-Diff              perl-text-diff
libwww-perl              =                   perl-libwww-perl            perl-libwww
python3-prometheus-client =                  python3-prometheus_client   py3-prometheus-client
redis-server             =                   redis                       redis
g++                      =                   gcc-c++                     =
gcc-aarch64-linux-gnu    =                   =                           -
libc6-dev-arm64-cross    =                   -                           -
qemu-user-static         =                   =                           qemu-aarch64
lua-check                =                   -                           -
luajit2                  luajit              luajit                      luajit
shellcheck               =                   ShellCheck                  =
TABLE
}

# named COLUMN PACKAGE...: what they are called there, for those that are there.
named() {
    local column=$1 package name
    shift
    for package; do
        name=$(package_names | awk -v package="$package" -v column="$column" '$1 == package { print $column }')
        case $name in
            '' | =) echo "$package" ;;
            -) ;;
            *) echo "$name" ;;
        esac
    done
}

# of_this_release PACKAGE: its name on Debian 12, or the later one where that is installed or apt knows no other.
of_this_release() {
    local later
    later=$(named 2 "$1")
    if [ "$later" = "$1" ] || [ -z "$(missing "$1")" ]; then
        echo "$1"
    elif [ -z "$(missing "$later")" ] || [ -z "$(apt_version "$1")" ]; then
        echo "$later"
    else
        echo "$1"
    fi
}

# packages PACKAGE...: installs what is missing of them, or says what that is where it cannot.
packages() {
    local wanted=() package
    if has apt-get; then
        for package; do
            wanted+=("$(of_this_release "$package")")
        done
        apt_install "${wanted[@]}"
    elif has rpm; then
        for package in $(named 3 "$@"); do
            rpm -q --quiet "$package" || wanted+=("$package")
        done
        [ ${#wanted[@]} = 0 ] || warn "this installs packages on Debian alone, and these are missing: dnf install ${wanted[*]}"
    elif has apk; then
        for package in $(named 4 "$@"); do
            apk info -q -e "$package" || wanted+=("$package")
        done
        [ ${#wanted[@]} = 0 ] || warn "this installs packages on Debian alone, and these are missing: apk add ${wanted[*]}"
    else
        warn "this installs packages on Debian alone. Needed are, by their names there: $*"
    fi
}

install_build_packages() {
    # nginx to build against and to run on; libclang reads its headers.
    packages ca-certificates curl gcc libc6-dev libclang-dev make nginx nginx-dev
}

install_test_packages() {
    # The Lua module that the Lua path needs.
    packages libnginx-mod-http-lua libnginx-mod-http-ndk lua-cjson lua-resty-core lua-resty-lrucache perl procps

    # What other nginxes with Lua are built with.
    packages dpkg-dev libluajit2-5.1-dev libpcre2-dev libssl-dev patchelf pkg-config zlib1g-dev

    # What Test::Nginx, or our runner of its language, is written with.
    packages libipc-run-perl liblist-moreutils-perl libtest-base-perl libtest-longstring-perl libtext-diff-perl libwww-perl

    # Prometheus' own parser, for what wasm_metrics serves.
    packages python3-prometheus-client

    # A server that plugins call.
    packages redis-server

    # The fuzzer is C++. valgrind counts instructions for make bench, and looks for memory that is misused for make valgrind.
    packages g++ valgrind

    # Linters. luajit2 is the LuaJIT that Debian 12's Lua module is built on; its luajit would remove that module.
    packages lua-check luajit2 shellcheck
}
