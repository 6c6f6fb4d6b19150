# Every target is one line to remember; CI calls only these. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test check bench perf services services-stop services-status clean

RUN_ARGS ?=
PERF_ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## build what it needs and run the mixed scenario against a reference server of its own (under two minutes once built)
	@cargo build --release -p payrig -p payrig-server $(if $(findstring --channel,$(RUN_ARGS)),-p payrig-channel) \
	  $(if $(findstring ://,$(RUN_ARGS)),,--no-default-features)
	@./target/release/payrig run mixed --run-time 60s --warmup 5s $(RUN_ARGS)

# What the tests' services start is stopped afterwards, however the tests end; what ran before is left alone.
test: ## install and start whatever the tests need, run every test, stop what was started
	@scripts/services.sh with cargo test --workspace --no-fail-fast

check: ## formatting, lints and docs: warnings are errors
	@cargo fmt --all --check
	@cargo clippy --workspace --all-targets -- -D warnings
	@cargo clippy -p payrig-server --no-default-features -- -D warnings
	@RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet
	@scripts/check-sizes.sh

bench: ## criterion benches of the hot paths
	@cargo bench -p payrig-benches

perf: ## side by side: ratios against a bare hyper server, in one run (installs wrk if missing)
	@scripts/install-wrk.sh
	@cargo build --release -p payrig-server -p payrig-channel -p payrig-benches --bins
	@./target/release/perf $(PERF_ARGS)

services: ## install (only what is missing) and start RabbitMQ, Redis and MongoDB-compatible servers, on ports of our own
	@scripts/services.sh start

services-stop: ## stop what `make services` started
	@scripts/services.sh stop

services-status: ## what runs where
	@scripts/services.sh status

clean: services-stop ## remove what was built; results stay
	@cargo clean
