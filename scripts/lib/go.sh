# Installs Go. From 1.21 on, Go itself fetches the version that a go.mod asks for. Sourced.

go_wanted=1.21

go_is_new_enough() { has go && at_least "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')" "$go_wanted"; }

require_go() { go_is_new_enough || die "Go $go_wanted or newer is needed to build plugins: make deps installs it, or see https://go.dev/dl"; }

# Debian 12 has 1.19, and 1.23 in its backports.
install_go() {
    go_is_new_enough && return
    if at_least "$(apt_version golang-go)" "2:$go_wanted"; then
        apt_install golang-go
    else
        install_go_backport || warn "Go could not be installed from backports"
    fi
    hash -r
    require_go
}

# From the mirror that the machine uses, but by package lists of our own: the machine's stay as they are.
install_go_backport() {
    local apt=$CARGO_TARGET_DIR/apt release mirror
    has apt-get || return
    release=$(installed_release)
    mirror=$(debian_mirror)
    [ -n "$mirror" ] || return

    say "installing Go from $release-backports"
    mkdir -p "$apt/lists/partial"
    printf 'deb %s %s main\n' "$mirror" "$release" "$mirror" "$release-backports" >"$apt/sources.list"
    local lists=(-o Dir::Etc::SourceList="$apt/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$apt/lists")
    apt_get "${lists[@]}" update &&
        apt_get "${lists[@]}" install --no-install-recommends -t "$release-backports" golang-go
}
