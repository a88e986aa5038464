# Everything a person or CI does here is one of these targets; `make help` lists them.
#
# One build serves them all: every target selects the whole workspace, because Cargo unites features over what is
# selected, and another selection compiles hundreds of crates again. For the same reason `--examples` stands where
# programs are built or documented: there are none, but it switches the development features on, as tests have them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# A shell that did not read the profile misses rustup's folder.
export PATH := $(PATH):$(HOME)/.cargo/bin

PROGRAMS := $(or $(CARGO_TARGET_DIR),target)
BUILD := cargo build --workspace --locked --bins --examples
TEST := cargo test --workspace --locked

.PHONY: help setup setup-run setup-test setup-bench build demo run test test-deep sim check format verify-tool bench generate

help: ## This list
	@echo "Orderly: looks after the small computers of small clinics."
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install what is missing (Debian packages, cargo-deny); the other targets call it
	@.ci/setup check
	@echo "setup: everything is here"

setup-run:
	@.ci/setup run

setup-test:
	@.ci/setup test

setup-bench:
	@.ci/setup bench

build: setup-run
	@$(BUILD)

demo: build ## The whole loop on this machine: faults, orders, repairs, evidence, attacks, the packet page by page (target/screens)
	@$(PROGRAMS)/debug/demo

run: build ## A control plane and one appliance, kept running until Ctrl-C
	@$(PROGRAMS)/debug/run

test: setup-test ## All tests
	@$(TEST) --no-fail-fast

test-deep: SEEDS ?= 1000
test-deep: KILLS ?= 2000
test-deep: CASES ?= 4096
test-deep: setup-test ## All tests, longer: SEEDS=1000 KILLS=2000 CASES=4096 (property cases)
	@SEEDS=$(SEEDS) KILLS=$(KILLS) PROPTEST_CASES=$(CASES) $(TEST) --no-fail-fast -- --include-ignored
	@$(MAKE) --no-print-directory verify-tool

sim: SEEDS ?= 50
sim: setup-run ## The simulation alone, for SEEDS=n seeds
	@SEEDS=$(SEEDS) $(TEST) --test simulation -- --nocapture

check: setup ## Format, lints, documentation, tests, generated files, licences and advisories
	@.ci/check

format: setup ## Format the Rust code as `make check` wants it
	@cargo fmt --all -- --config-path .ci/rustfmt.toml

# Another selection than all the others', which is why it is built in a folder of its own.
verify-tool: setup-run ## The verifier alone, for auditors, under 8 MB: target/verify-tool/verifier/orderly-verify
	@cargo build --profile verifier --locked --package control-plane --no-default-features --bin orderly-verify \
		--target-dir $(PROGRAMS)/verify-tool
	@bytes=$$(stat -c %s $(PROGRAMS)/verify-tool/verifier/orderly-verify); \
		echo "orderly-verify: $$bytes bytes"; [ "$$bytes" -lt 8000000 ]

bench: setup-bench ## Measure against bare loops, printed as ratios; writes target/bench/*.json
	@cargo build --release --workspace --locked --bin bench --bin appliance --bin control-plane --bin orderly-verify
	@$(PROGRAMS)/release/bench

generate: setup-run ## Write generated files anew
	@ORDERLY_WRITE=1 $(TEST) --test generated
