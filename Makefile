# Builds, lints and tests the module. `make help` lists the targets and what can be set.

# nginx to build against and test on: vendored (nginx-sys' own), debian12, debian13, newest (of Debian), apisix (like its runtimes); or arm64 by an emulator
NGINX ?=
# nginx to build against, a source tree; empty: Debian's
NGINX_SOURCE_DIR ?=
# the folder that its configure wrote; empty: objs in that tree
NGINX_BUILD_DIR ?=
# nginx to test on and to demonstrate with
NGINX_BINARY ?= /usr/sbin/nginx
# where everything that is built goes
CARGO_TARGET_DIR ?= target
# for every call of cargo, such as --locked
CARGO_FLAGS ?=
# rows of `make bench`, as `benches/run --list` names them; empty: all
BENCH ?=
# test files that run at once
TEST_JOBS ?= 2
# seconds of each fuzz target
FUZZ_SECONDS ?= 600
# the plugin for demo, plugin and test-plugin, one of examples/plugins
PLUGIN ?=
# the new plugin's name, for new-plugin
NAME ?=
# the folder of that plugin, if it is elsewhere
DIR ?=
# the version to be released, for release-check
VERSION ?=
# the Debian of test-debian: bookworm, trixie or sid; empty: trixie
RELEASE ?=
# where demo listens, on 127.0.0.1
DEMO_PORT ?= 9080
# OpenResty to install into, such as /usr/local/openresty; empty: Debian's nginx
OPENRESTY_PREFIX ?=
# where install puts proxy-wasm-check, in bin
PREFIX ?= /usr/local
# folder that stands for / while installing
DESTDIR ?=

override CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
# nginx takes a variable NGINX for the sockets of one that it replaces, so no test may have it in its environment.
unexport NGINX
export NGINX_KIND := $(NGINX)
export NGINX_SOURCE_DIR NGINX_BUILD_DIR NGINX_BINARY CARGO_TARGET_DIR CARGO_FLAGS TEST_JOBS DEMO_PORT

MODULE := $(CARGO_TARGET_DIR)/release/libngx_http_proxy_wasm_module.so
CHECK := $(CARGO_TARGET_DIR)/release/proxy-wasm-check

# OpenResty looks into site/lualib before its own lualib, where APISIX's runtimes have the C module's file of the same name.
NGINX_MODULES_DIR = $(if $(OPENRESTY_PREFIX),$(OPENRESTY_PREFIX)/nginx/modules,/usr/lib/nginx/modules)
LUA_LIB_DIR = $(if $(OPENRESTY_PREFIX),$(OPENRESTY_PREFIX)/site/lualib,/usr/share/lua/5.1)
INSTALLED_MODULE = $(NGINX_MODULES_DIR)/ngx_http_proxy_wasm_module.so
INSTALLED_LUA = $(LUA_LIB_DIR)/resty/proxy-wasm.lua
INSTALLED_CHECK = $(PREFIX)/bin/proxy-wasm-check

.NOTPARALLEL:

.PHONY: all
all: ## build the module (the default)
	scripts/with-nginx cargo build --release $(CARGO_FLAGS)
	@echo $(MODULE)

# The module is named for the features that it asks of dependencies: with the same, wasmtime is
# compiled once for both.
.PHONY: tools
tools: ## build proxy-wasm-check
	cargo build --release --package ngx_http_proxy_wasm_module --package proxy-wasm-check \
		--bin proxy-wasm-check $(CARGO_FLAGS)
	@echo $(CHECK)

.PHONY: plugins
plugins: ## build the example and test plugins
	scripts/build-plugins

.PHONY: plugin
plugin: ## build PLUGIN, or else the two that examples/config.yaml declares
	scripts/build-plugins $(or $(DIR),$(addprefix examples/plugins/,$(or $(PLUGIN),log fault-injection)))

.PHONY: build-deps
build-deps: ## install what is missing to build the module and plugins in Rust, on Debian
	scripts/deps build

.PHONY: deps
deps: ## the same, and what is missing to lint and test
	scripts/deps

# Two profiles: `release` for what is installed, `quick` for all else. The fuzz targets, which have
# no tests, are named for the features that they ask of dependencies: wasmtime is compiled once.
.PHONY: test
ifeq ($(NGINX),arm64)
test: deps plugins
	scripts/with-nginx scripts/test-emulated
else
test: deps plugins all ## install what is missing, build, run all tests
	scripts/unit-tests
	scripts/test-plugins
	scripts/with-nginx scripts/test-suites
	scripts/fuzz 5
endif

.PHONY: test-browser
test-browser: plugins all ## look at the status page in headless Chromium, where that is installed
	install -d $(CARGO_TARGET_DIR)/screenshots
	SCREENSHOTS=$(CARGO_TARGET_DIR)/screenshots TEST_BROWSER=yes TEST_NGINX_BINARY=$(NGINX_BINARY) \
		TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins prove -I. t/browser/

.PHONY: fuzz
fuzz: deps fuzz-front ## install what is missing, fuzz nginx, and each target, for FUZZ_SECONDS
	scripts/fuzz $(FUZZ_SECONDS)

.PHONY: fuzz-front
fuzz-front: deps plugins ## the same to nginx with sanitizers, by broken clients; SEED=N repeats what found something
	FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/with-sanitizers fuzz/front/run

.PHONY: sanitize
sanitize: deps plugins ## install what is missing, build nginx and the module with AddressSanitizer, run all suites
	scripts/sanitize

.PHONY: sanitize-matrices
sanitize-matrices: deps plugins ## the same with few suites, as .ci/run does
	scripts/sanitize --matrices

.PHONY: valgrind
valgrind: deps plugins all ## install what is missing, build, run suites under valgrind
	TEST_NGINX_BINARY=$(NGINX_BINARY) TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins \
		scripts/valgrind $(TEST_JOBS)

.PHONY: lint
lint: deps ## install what is missing, check formats and styles
	cargo fmt --all --check
	scripts/with-nginx cargo clippy --release --workspace --exclude ngx-proxy-wasm-fuzz --all-targets $(CARGO_FLAGS) -- -D warnings
	cargo clippy --release --package proxy-wasm-host --no-default-features $(CARGO_FLAGS) -- -D warnings
	RUSTDOCFLAGS='-D warnings' scripts/with-nginx cargo doc --release --workspace --exclude ngx-proxy-wasm-fuzz --no-deps $(CARGO_FLAGS)
	scripts/lint-plugins
	scripts/lint-scripts
	scripts/lint-arrows
	scripts/draw-phases --check
	scripts/draw-house --check

.PHONY: deny
deny: ## install cargo-deny if it is missing, check advisories, licences and sources of dependencies
	scripts/deny

# The tables of docs/performance.md; BENCH names some subjects or rows. Its counts fail it, times do not.
.PHONY: bench
bench: deps plugins all ## install what is missing, build, count what requests, bodies and loading cost
	TEST_NGINX_BINARY=$(NGINX_BINARY) TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins \
		benches/run $(BENCH)

.PHONY: bench-core
bench-core: ## time callbacks, host functions and header maps without nginx
	cargo bench -p benches $(CARGO_FLAGS)

# A first look is there in half the time that a release takes to build, of which a plugin of megabytes would wait for its compilation.
DEMO_PROFILE := $(if $(or $(PLUGIN),$(wildcard $(MODULE))),release,unoptimized)
DEMO_MODULE := $(CARGO_TARGET_DIR)/$(DEMO_PROFILE)/$(notdir $(MODULE))

.PHONY: demo
demo: build-deps plugin ## install what is missing, build, serve the examples, or PLUGIN, on 127.0.0.1:9080
	scripts/with-nginx cargo build --profile $(DEMO_PROFILE) $(CARGO_FLAGS)
	@DEMO_MODULE=$(DEMO_MODULE) scripts/demo $(PLUGIN) $(DIR)

.PHONY: demo-check
demo-check: deps plugins all ## run what every demo says to try, and compare; the same with a new plugin
	scripts/with-nginx cargo build --profile unoptimized $(CARGO_FLAGS)
	@scripts/demo-check

.PHONY: new-plugin
new-plugin: ## lay out a plugin in Rust: make new-plugin NAME=my-plugin
	@scripts/new-plugin $(NAME) $(DIR)

.PHONY: which-plugin
which-plugin:
	@[ -n '$(PLUGIN)' ] || { echo 'Which plugin? As in: make test-plugin PLUGIN=log' >&2; exit 1; }

.PHONY: test-plugin
test-plugin: which-plugin deps plugin all ## build PLUGIN, run its tests
	scripts/test-plugins $(or $(DIR),examples/plugins/$(PLUGIN))
	scripts/prove $(or $(DIR),examples/plugins/$(PLUGIN))/$(PLUGIN).t

.PHONY: configure-check
configure-check: deps plugins ## build, install and test the module by nginx's own configure and make
	scripts/check-configure

# Builds nothing: whoever may write there is often root, who has no cargo.
.PHONY: install
install: ## put the module, its Lua file, and proxy-wasm-check if it was built, in place
	@test -e $(MODULE) || { echo 'There is nothing to install yet: run make first.' >&2; exit 1; }
	install -d '$(DESTDIR)$(dir $(INSTALLED_MODULE))' '$(DESTDIR)$(dir $(INSTALLED_LUA))'
	install -m 644 $(MODULE) '$(DESTDIR)$(INSTALLED_MODULE)'
	install -m 644 lib/resty/proxy-wasm.lua '$(DESTDIR)$(INSTALLED_LUA)'
	[ ! -e $(CHECK) ] || install -D -m 755 $(CHECK) '$(DESTDIR)$(INSTALLED_CHECK)'
	@echo 'In the main block of nginx.conf: load_module $(INSTALLED_MODULE);'

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(INSTALLED_MODULE)' '$(DESTDIR)$(INSTALLED_LUA)' '$(DESTDIR)$(INSTALLED_CHECK)'

.PHONY: deb
deb: all tools ## a Debian package for Debian's nginx, in target/deb
	rm -rf $(CARGO_TARGET_DIR)/deb
	install -d $(CARGO_TARGET_DIR)/deb
	debian/rules clean binary DEB_DIRECTORY=$(CARGO_TARGET_DIR)/deb
	debian/rules clean

.PHONY: deb-check
deb-check: deb ## the same, and install, upgrade and remove it in a fresh Debian, as root
	scripts/check-deb

.PHONY: dist
dist: ## archives of the module for each nginx, in target/dist, that run with glibc 2.28 or newer
	scripts/dist

.PHONY: dist-check
dist-check: deps plugins dist ## the same, and load each into the nginx that it is for
	scripts/check-dist

# In a Debian of that release with nothing installed, as a stranger has it; only Rust and compiled dependencies are this machine's.
.PHONY: test-debian
test-debian: ## everything but benchmarks in a Debian of its own: make test-debian RELEASE=trixie, as root
	scripts/in-debian $(or $(RELEASE),trixie) make demo-check test deb-check

.PHONY: release-check
release-check: ## fail if a file names another version than VERSION
	@scripts/check-release $(VERSION)

.PHONY: clean
clean: ## remove what was built
	cargo clean
	rm -rf t/servroot*

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo 'Set on the command line, as in make NGINX_BINARY=/usr/local/nginx/sbin/nginx test:'
	@awk -F' [?]= ?' '/^#/ { about = substr($$0, 3) } / [?]=/ { printf "%-18s%s%s\n", $$1, about, $$2 == "" ? "" : " (" $$2 ")" }' $(MAKEFILE_LIST)
