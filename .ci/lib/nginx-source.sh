# Sources of nginx and its Lua module, from registries that machines have anyway. Sourced, after apt.sh; $tree is where they go.

# shellcheck disable=SC1091 # the system's
installed_release() { (. /etc/os-release && echo "$VERSION_CODENAME"); }

# fetch_debian RELEASE PACKAGE...: into $tree/PACKAGE, as it came to Debian. The machine's package lists stay as they are.
fetch_debian() {
    local release=$1 lists=$tree/apt mirror package
    shift
    has apt-get || return
    # shellcheck disable=SC2016 # apt's variables
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $(installed_release)" | head -n 1)
    [ -n "$mirror" ] || return

    mkdir -p "$lists/lists/partial"
    echo "deb-src $mirror $release main" >"$lists/sources.list"
    local options=(-qq -o Dir::Etc::SourceList="$lists/sources.list" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$lists/lists")
    apt-get "${options[@]}" update || return
    for package; do
        mkdir -p "$tree/$package"
        (cd "$lists" && rm -f ./*.orig.tar.* && apt-get "${options[@]}" source --tar-only "$package") || return
        tar -xf "$lists"/*.orig.tar.?z -C "$tree/$package" --strip-components 1 || return
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
