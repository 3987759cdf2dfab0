# Installs cargo-zigbuild and zig, whose linker links with the names of an older glibc than this machine's: from PyPI, in a folder
# beside what is built. Sourced, after apt.sh.

zigbuild_wanted=0.24.1
zig_wanted=0.17.1

install_zig() {
    local folder=$CARGO_TARGET_DIR/zig
    if [ ! -e "$folder/$zigbuild_wanted-$zig_wanted" ]; then
        apt_install python3-venv
        rm -rf "$folder"
        say "installing cargo-zigbuild $zigbuild_wanted and zig $zig_wanted"
        python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check \
            "cargo-zigbuild==$zigbuild_wanted" "ziglang==$zig_wanted" || die "cargo-zigbuild could not be installed"
        touch "$folder/$zigbuild_wanted-$zig_wanted"
    fi
    PATH=$folder/bin:$PATH
}
