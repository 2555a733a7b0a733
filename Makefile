# demo   set up, build, fetch models, start: then call
# test   the same set-up, then every check and test there is
# bench  measure, and keep the figures under benches/results/
# fuzz   a million runs of each fuzz target, counted under benches/results/
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help

# Compiled dependencies and models live outside the checkout, so that the next run is quick.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/dauys/target
export DAUYS_MODELS ?= $(HOME)/.cache/dauys/models
export CARGO_TERM_COLOR ?= auto
DAUYS := $(CARGO_TARGET_DIR)/release/dauys
DATA ?= $(HOME)/.local/share/dauys
# More arguments for `dauys serve`, for example: make demo SERVE="--public 192.0.2.10"
SERVE ?=

.PHONY: help demo test bench fuzz setup setup-test models lint

help:
	@sed -n 's/^# \([a-z]\+  .*\)/  make \1/p' Makefile

setup:
	@scripts/setup.sh run

setup-test:
	@scripts/setup.sh run test

demo: setup
	@echo "Building (the first time takes some minutes) ..."
	cargo build --release --locked
	$(DAUYS) models pull
	exec $(DAUYS) serve --config configs/demo.toml --data $(DATA) $(SERVE)

models: setup
	cargo build --locked
	$(CARGO_TARGET_DIR)/debug/dauys models pull

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

test: setup-test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo build --workspace --locked
	$(CARGO_TARGET_DIR)/debug/dauys models pull
	cargo test --workspace --locked --no-fail-fast

bench: setup-test
	cargo build --release --locked
	$(DAUYS) models pull
	cargo bench --locked --bench turns --bench conversations --bench signalling --bench capacity --bench engines --bench web

# RUNS=1000 for a quick look; TARGETS="sdp auth" for some of them.
fuzz:
	scripts/fuzz.sh $(TARGETS)
