# Builds plugins, in the way of each language. Sourced.

. "$root/scripts/lib/rust.sh"
. "$root/scripts/lib/apt.sh"
. "$root/scripts/lib/go.sh"
. "$root/scripts/lib/c.sh"

# What is built, and where it is made.
plugins=$CARGO_TARGET_DIR/plugins
wasm=$CARGO_TARGET_DIR/wasm
mkdir -p "$plugins" "$wasm"

# build_rust FOLDER: the plugins of a cargo workspace are what cargo says it built of it. It makes _ of - in their names.
build_rust() {
    local messages=$wasm/messages.json file
    (cd "$1" && cargo_wasm build --lib --examples --message-format json-render-diagnostics >"$messages")
    while read -r file; do
        keep "$file" "$(basename "$file" .wasm | tr _ -)"
    done < <(grep -o '"filenames":\["[^"]*\.wasm"' "$messages" | cut -d '"' -f 4)
}

# build_go FOLDER NAME
build_go() {
    (cd "$1" && GOOS=wasip1 GOARCH=wasm go build -trimpath -tags "$(go_tags .)" -buildmode=c-shared -ldflags '-s -w' -o "$wasm/$2.wasm" .)
    keep "$wasm/$2.wasm" "$2"
}

# go_tags FOLDER: the build tags that its file `tags` has, one a line.
go_tags() {
    if [ -e "$1/tags" ]; then grep -v '^#' "$1/tags" | paste -sd ,; fi
}

# build_c FILE NAME
build_c() {
    clang_wasm -Os -Wl,--strip-debug -o "$wasm/$2.wasm" "$1"
    keep "$wasm/$2.wasm" "$2"
}

# build_example FOLDER: what is there of the languages. Whoever needs them all has required Go and clang before; a demonstration
# shows the plugin in Rust, or the only one there is.
build_example() {
    local name
    name=$(basename "$1")
    if [ -e "$1/go/main.go" ] && [ ! -e "$1/rust/Cargo.toml" ]; then install_go; fi
    if [ -e "$1/rust/Cargo.toml" ]; then build_rust "$1/rust"; fi
    if [ -e "$1/go/main.go" ]; then
        if go_is_new_enough; then build_go "$1/go" "$name-go"; else warn "no Go $go_wanted: $name-go.wasm is not built"; fi
    fi
    if [ -e "$1/c/$name.c" ]; then
        if has clang; then build_c "$1/c/$name.c" "$name-c"; else warn "no clang: $name-c.wasm is not built"; fi
    fi
}

# workspaces FOLDER…: the manifests of what is built there, each as a whole.
workspaces() {
    local manifest
    find "$@" -name target -prune -o \( -name Cargo.toml -o -name go.mod \) -print | sort | while read -r manifest; do
        case $manifest in
            */go.mod) echo "$manifest" ;;
            *) if stands_alone "$(dirname "$manifest")"; then echo "$manifest"; fi ;;
        esac
    done
}

stands_alone() { grep -q '^\[workspace\]' "$1/Cargo.toml"; }

# build_server FOLDER: one that tests call.
build_server() {
    mkdir -p "$CARGO_TARGET_DIR/servers"
    (cd "$1" && go build -trimpath -o "$CARGO_TARGET_DIR/servers/$(basename "$1")" .)
}

# Touches nothing that stays the same, and replaces at once what does not.
keep() {
    local from=$1 to=$plugins/$2.wasm
    cmp -s "$from" "$to" && return
    cp "$from" "$to.new"
    mv "$to.new" "$to"
    echo "$to"
}
