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
# rows of `make bench`, as `benches/run --list` names them; empty: all
BENCH ?=
# test files that run at once
TEST_JOBS ?= 2

override CARGO_TARGET_DIR := $(abspath $(CARGO_TARGET_DIR))
export NGINX_SOURCE_DIR NGINX_BUILD_DIR NGINX_BINARY CARGO_TARGET_DIR CARGO_FLAGS

MODULE := $(CARGO_TARGET_DIR)/release/libngx_http_proxy_wasm_module.so

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
	cd examples/plugins && cargo test --target-dir $(CARGO_TARGET_DIR)/wasm $(CARGO_FLAGS)
	TEST_NGINX_BINARY=$(NGINX_BINARY) TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins \
		prove -j$(TEST_JOBS) -I. -r t/

.PHONY: lint
lint: deps ## install what is missing, check formats and styles
	cargo fmt --all --check
	.ci/with-nginx cargo clippy --release --workspace --all-targets $(CARGO_FLAGS) -- -D warnings
	cargo clippy --release --all-targets --no-default-features $(CARGO_FLAGS) -- -D warnings
	.ci/lint-plugins
	.ci/lint-scripts

# The tables of docs/performance.md; BENCH names some subjects or rows. Its counts fail it, times do not.
.PHONY: bench
bench: deps plugins all ## install what is missing, build, count what requests, bodies and loading cost
	TEST_NGINX_BINARY=$(NGINX_BINARY) TEST_NGINX_MODULE=$(MODULE) TEST_NGINX_PLUGINS=$(CARGO_TARGET_DIR)/plugins \
		benches/run $(BENCH)

.PHONY: bench-core
bench-core: ## time callbacks, host functions and header maps without nginx
	cargo bench -p benches $(CARGO_FLAGS)

.PHONY: demo
demo: deps plugins all ## install what is missing, build, serve the examples on 127.0.0.1:9080
	@.ci/demo

.PHONY: demo-check
demo-check: deps plugins all ## the same, but run what the demo says to try, and compare
	@.ci/demo --check

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
