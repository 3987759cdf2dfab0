# Builds, lints and tests the module. `make help` lists the targets and what can be set.

# nginx to build against, a source tree and the folder that its configure wrote; empty: Debian's.
NGINX_SOURCE_DIR ?=
NGINX_BUILD_DIR ?=
# nginx to test on and to demonstrate with
NGINX_BINARY ?= /usr/sbin/nginx
# where everything that is built goes
CARGO_TARGET_DIR ?= target
# for every call of cargo, such as --locked
CARGO_FLAGS ?=
# test files that run at once
TEST_JOBS ?= 2
# seconds of each fuzz target
FUZZ_SECONDS ?= 600
# OpenResty to install into, such as /usr/local/openresty; empty: Debian's nginx
OPENRESTY_PREFIX ?=
# folder that stands for / while installing
DESTDIR ?=

override CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
export NGINX_SOURCE_DIR NGINX_BUILD_DIR NGINX_BINARY CARGO_TARGET_DIR CARGO_FLAGS

MODULE := $(CARGO_TARGET_DIR)/release/libngx_http_proxy_wasm_module.so

# OpenResty looks into site/lualib before its own lualib, where APISIX's runtimes have the C module's file of the same name.
NGINX_MODULES_DIR = $(if $(OPENRESTY_PREFIX),$(OPENRESTY_PREFIX)/nginx/modules,/usr/lib/nginx/modules)
LUA_LIB_DIR = $(if $(OPENRESTY_PREFIX),$(OPENRESTY_PREFIX)/site/lualib,/usr/share/lua/5.1)
INSTALLED_MODULE = $(NGINX_MODULES_DIR)/ngx_http_proxy_wasm_module.so
INSTALLED_LUA = $(LUA_LIB_DIR)/resty/proxy-wasm.lua

.NOTPARALLEL:

.PHONY: all
all: ## build the module (the default)
	.ci/with-nginx cargo build --release $(CARGO_FLAGS)
	@echo $(MODULE)

.PHONY: plugins
plugins: ## build the example and test plugins
	.ci/build-plugins

.PHONY: deps
deps: ## install what is missing to build, lint and test, on Debian
	.ci/deps

# Everything is built in the release profile, so that wasmtime is compiled once for all of it.
.PHONY: test
test: deps plugins all ## install what is missing, build, run all tests
	cargo test --release --no-default-features $(CARGO_FLAGS)
	cd examples/plugins && cargo test --target-dir $(CARGO_TARGET_DIR)/wasm $(CARGO_FLAGS) && go test ./...
	TEST_NGINX_BINARY=$(NGINX_BINARY) TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins \
		prove -j$(TEST_JOBS) -I. -r t/ examples/
	.ci/fuzz 5

.PHONY: fuzz
fuzz: deps ## install what is missing, fuzz each target for FUZZ_SECONDS
	.ci/fuzz $(FUZZ_SECONDS)

.PHONY: sanitize
sanitize: deps plugins all ## install what is missing, build, run suites under valgrind
	TEST_NGINX_BINARY=$(NGINX_BINARY) TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins \
		.ci/sanitize $(TEST_JOBS)

.PHONY: lint
lint: deps ## install what is missing, check formats and styles
	cargo fmt --all --check
	.ci/with-nginx cargo clippy --release --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	cargo clippy --release --all-targets --no-default-features $(CARGO_FLAGS) -- -D warnings
	.ci/lint-plugins
	.ci/lint-scripts

.PHONY: demo
demo: deps plugins all ## install what is missing, build, serve the examples on 127.0.0.1:9080
	@.ci/demo

.PHONY: demo-check
demo-check: deps plugins all ## the same, but run what the demo says to try, and compare
	@.ci/demo --check

# Builds nothing: whoever may write there is often root, who has no cargo.
.PHONY: install
install: ## put the module and its Lua file in place
	@test -e $(MODULE) || { echo 'There is nothing to install yet: run make first.' >&2; exit 1; }
	install -d '$(DESTDIR)$(dir $(INSTALLED_MODULE))' '$(DESTDIR)$(dir $(INSTALLED_LUA))'
	install -m 644 $(MODULE) '$(DESTDIR)$(INSTALLED_MODULE)'
	install -m 644 lib/resty/proxy-wasm.lua '$(DESTDIR)$(INSTALLED_LUA)'
	@echo 'In the main block of nginx.conf: load_module $(INSTALLED_MODULE);'

.PHONY: uninstall
uninstall: ## remove what install put there
	rm -f '$(DESTDIR)$(INSTALLED_MODULE)' '$(DESTDIR)$(INSTALLED_LUA)'

.PHONY: clean
clean: ## remove what was built
	cargo clean
	rm -rf t/servroot*

.PHONY: help
help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14
	@echo
	@echo 'Set on the command line, as in make NGINX_BINARY=/usr/local/nginx/sbin/nginx test:'
	@awk -F' [?]= ?' '/^#/ { about = substr($$0, 3) } / [?]=/ { printf "%-18s%s (%s)\n", $$1, about, $$2 }' $(MAKEFILE_LIST)
