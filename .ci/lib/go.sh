# Go, which from 1.21 on fetches by itself the version that a go.mod asks for. Sourced.

go_wanted=1.21

go_is_new_enough() { has go && at_least "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')" "$go_wanted"; }

# Debian 12 has 1.19, and 1.23 in its backports; those are read from lists of our own, so that the machine's stay as they are.
install_go() {
    go_is_new_enough && return
    if at_least "$(apt_version golang-go)" "2:$go_wanted"; then
        apt_install golang-go
    elif has apt-get && [ "$(. /etc/os-release && echo "$VERSION_CODENAME")" = bookworm ]; then
        install_go_backport
    fi
    hash -r
    go_is_new_enough || warn "Go $go_wanted or newer is needed for the Go test plugin, which is skipped: see https://go.dev/dl"
}

install_go_backport() {
    local apt=$CARGO_TARGET_DIR/apt
    say "installing Go from bookworm-backports"
    mkdir -p "$apt/lists/partial"
    printf 'deb http://deb.debian.org/debian %s main\n' bookworm bookworm-backports >"$apt/sources.list"
    local options=(-qq -o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$apt/lists")
    as_root apt-get "${options[@]}" update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y --no-install-recommends \
            -t bookworm-backports golang-go </dev/null ||
        warn "Go could not be installed"
}
