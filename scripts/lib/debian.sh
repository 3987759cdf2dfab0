# Debian systems of their own, below the build folder, to install and run things in. Sourced, after apt.sh. They need root.

# The release that this machine runs.
installed_release() {
    # shellcheck disable=SC1091 # the system's
    (. /etc/os-release && echo "${VERSION_CODENAME:-}")
}

# From where this machine gets its packages.
debian_mirror() {
    # shellcheck disable=SC2016 # apt's variables
    apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $(installed_release)" | head -n 1
}

# make_debian TREE RELEASE [PACKAGE...]: a Debian in TREE, kept for the next time. It starts no services, and trusts what this
# machine trusts.
make_debian() {
    local tree=$1 release=$2 made_of="${*:2}"
    shift 2
    [ "$(cat "$tree/made-of" 2>/dev/null)" != "$made_of" ] || return 0
    [ "$(id -u)" = 0 ] || die "a Debian of its own takes root to make: run this as root"
    apt_install debootstrap
    say "debootstrap $release"
    rm -rf "$tree"
    debootstrap --variant=minbase "$release" "$tree" "$(debian_mirror)" >"$tree.log" 2>&1 || die "see $tree.log"
    printf '#!/bin/sh\nexit 101\n' >"$tree/usr/sbin/policy-rc.d"
    chmod +x "$tree/usr/sbin/policy-rc.d"
    mkdir -p "$tree/usr/local/share"
    cp -R /usr/local/share/ca-certificates "$tree/usr/local/share" 2>/dev/null || true
    if [ $# != 0 ]; then
        chroot "$tree" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
            apt-get -y -qq -o Dpkg::Use-Pty=0 install --no-install-recommends "$@" >/dev/null
    fi
    echo "$made_of" >"$tree/made-of"
}
