# Sources and binaries of nginx and its Lua module, from registries that machines have anyway. Sourced, after apt.sh and debian.sh;
# $tree is where they go. $architecture, if it is set, is the one that binaries are for, by Debian's name.

# debian RELEASE ARGUMENTS: apt-get in a folder of its own, with package lists of its own: the machine's stay as they are,
# and what is installed there does not count.
debian() {
    local release=$1 lists=$tree/apt mirror
    shift
    has apt-get || return
    mkdir -p "$lists/lists/partial"
    if [ "$(cat "$lists/release" 2>/dev/null)" != "$release" ]; then
        mirror=$(debian_mirror)
        [ -n "$mirror" ] || return
        printf '%s %s %s main\n' deb "$mirror" "$release" deb-src "$mirror" "$release" >"$lists/sources.list"
        set -- update "$@"
    fi
    local options=(-qq -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$lists/lists"
        -o Dir::State::Status=/dev/null -o APT::Sandbox::User=root
        ${architecture:+-o APT::Architecture="$architecture" -o APT::Architectures="$architecture"})
    if [ "$1" = update ]; then
        apt-get "${options[@]}" update || return
        echo "$release" >"$lists/release"
        shift
    fi
    (cd "$lists" && rm -f ./*.orig.tar.* ./*.deb && apt-get "${options[@]}" "$@")
}

# fetch_sources RELEASE PACKAGE...: into $tree/PACKAGE, as they came to Debian.
fetch_sources() {
    local release=$1 package
    shift
    for package; do
        debian "$release" source --tar-only "$package" || return
        mkdir -p "$tree/$package"
        tar -xf "$tree"/apt/*.orig.tar.?z -C "$tree/$package" --strip-components 1 || return
    done
}

# fetch_patched_sources RELEASE PACKAGE: into $tree/PACKAGE, as Debian builds them: one of nginx's
# patches adds a member to a structure.
fetch_patched_sources() {
    fetch_sources "$@" && debian "$1" source --diff-only "$2" &&
        tar -xf "$tree"/apt/*.debian.tar.?z -C "$tree/$2" && apply_patches "$tree/$2"
}

# apply_patches FOLDER: the patches of its debian/patches.
apply_patches() {
    local name
    [ -e "$1/debian/patches/series" ] || return 0
    sed 's/[[:space:]]*#.*//; /^[[:space:]]*$/d' "$1/debian/patches/series" | while read -r name _; do
        patch -d "$1" -p1 -s <"$1/debian/patches/$name" || return
    done
}

# fetch_binaries RELEASE PACKAGE...: unpacked into $tree/root, installed nowhere.
fetch_binaries() {
    local package
    debian "$1" download "${@:2}" || return
    for package in "$tree"/apt/*.deb; do
        dpkg-deb -x "$package" "$tree/root" || return
    done
}

# fetch_crate NAME VERSION: the nginx/ of that crate, into $tree/nginx.
fetch_crate() {
    local crate=$tree/crate manifest
    mkdir -p "$crate"
    : >"$crate/lib.rs"
    cat >"$crate/Cargo.toml" <<TOML
[package]
name = "nginx-source"
version = "0.0.0"
edition = "2024"
[lib]
path = "lib.rs"
[dependencies]
$1 = "$2"
[workspace]
TOML
    manifest=$(cd "$crate" && cargo metadata --format-version 1 | grep -o "\"manifest_path\":\"[^\"]*/$1-[^\"]*\"" | cut -d '"' -f 4)
    [ -n "$manifest" ] && cp -R "$(dirname "$manifest")/nginx" "$tree/nginx"
}
