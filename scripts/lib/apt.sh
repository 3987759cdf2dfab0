# Installs Debian packages. Sourced.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif has sudo; then sudo "$@"
    else die "not root, and no sudo: run this as root: $*"
    fi
}

# Those of the packages that are not installed.
missing() {
    local package
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

apt_updated=
apt_update() {
    [ -n "$apt_updated" ] || apt_get update
    apt_updated=yes
}

# Installs what is missing of the packages; says so and goes on where there is no apt-get.
apt_install() {
    if ! has apt-get; then
        warn "no apt-get here: these Debian packages, or their like, are needed: $*"
        return
    fi
    local packages
    mapfile -t packages < <(missing "$@")
    [ ${#packages[@]} -gt 0 ] || return 0
    say "installing ${packages[*]}"
    apt_update
    apt_get install --no-install-recommends "${packages[@]}"
}

# apt-get without questions or chatter.
apt_get() {
    start_no_services as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -y -qq -o Dpkg::Use-Pty=0 "$@" </dev/null >/dev/null
}

# The version apt would install; empty if none.
apt_version() {
    has apt-get || return 0
    apt_update
    apt-cache policy "$1" | sed -n 's/^ *Candidate: \([^(]*\)$/\1/p'
}

# A package may start its service, and nginx's would take port 80. Debian asks this file first.
start_no_services() {
    local policy=/usr/sbin/policy-rc.d status=0
    if [ -e "$policy" ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod +x "$policy"
    "$@" || status=$?
    as_root rm -f "$policy"
    return "$status"
}
