# ldirectord-rs. `make help` explains every command.

SHELL := /bin/bash
CARGO ?= cargo
CASE ?=
SEED ?=
COUNT ?=
STEPS ?=
MINUTES ?= 60

.DEFAULT_GOAL := help
.PHONY: help deps build release check test lint demo demo-web screenshots demo-kernel bench fuzz deny install clean
.PHONY: simulate mutants shuttle soak compat compat-record compat-both compat-random lab-anycast demo-anycast man musl deb

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

deps: ## what the build needs from Debian: C compiler, OpenSSL and PCRE2 headers (as root: installed)
	@tests/deps build

build: deps ## the programs, with debug checks
	$(CARGO) build --workspace

release: deps ## the programs as they are shipped
	$(CARGO) build --release --package ldirectord-rs --package ldirectord-exporter

lint: deps ## format and clippy, no warning allowed
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features oracle -- -D warnings

check: deps ## everything that needs neither root nor packages nor the lab
	@tests/all check

test: deps ## everything that .ci/run runs: format, clippy, unit, integration, real servers, lab
	@tests/all test

soak: build ## servers, edits, kills, mails, hooks and disks at random in the lab; MINUTES=60, SEED= for the same again
	SOAK_MINUTES=$(MINUTES) SOAK_SEED=$(SEED) $(CARGO) test --test soak

shuttle: deps ## the hand-over between threads under thousands of schedules (src/sync.rs)
	RUSTFLAGS="--cfg shuttle" CARGO_TARGET_DIR=target/shuttle $(CARGO) test --lib shuttle

demo: build ## three small web servers, the director and the memory table: 30 s, no root
	@examples/demo

demo-web: build ## the same servers and director until you stop it, with the exporter's page in your browser; no root
	@examples/demo --web

demo-kernel: build ## the same on real ip_vs with real forwarded connections, in the lab
	@tests/lab/demo

demo-anycast: build ## two sites behind one anycast address, and who answers while things break: live, in the lab
	@tests/lab/anycast/run demo

lab-anycast: build ## every failure of the anycast sites, ours and the original; writes compat/RECOVERY.md (half an hour)
	@tests/lab/anycast/run full

screenshots: build ## the exporter's page on a good and a bad day, as its test sees it, into exporter/screenshots (as root)
	$(CARGO) test --test exporter_page
	mkdir -p exporter/screenshots
	cp target/screenshots/*.png exporter/screenshots/

compat: build ## ours against what the original did, CASE=… for some (as root)
	@target/debug/compat run $(CASE)

compat-record: build ## records what the original does, CASE=… for some (as root)
	@target/debug/compat record $(CASE)

compat-both: build ## the original against its own records, then ours
	@target/debug/compat both $(CASE)

compat-random: build ## 3,000 configurations at random, given to both programs, SEED=… for the same again (as root)
	@target/debug/compat random $(if $(SEED),--seed $(SEED))

bench: release ## CPU per check, time to see a death, start and reload, against the original and keepalived
	@compat/bench/run

simulate: deps ## histories of the owner's step in a simulated world: a minute, or COUNT=… or STEPS=… from SEED=… on
	SEED=$(SEED) COUNT=$(COUNT) STEPS=$(STEPS) $(CARGO) test --profile simulate --test simulation

mutants: deps ## faults in director, runtime, dataplane and hook, one at a time: which does no test see? Hours (needs cargo-mutants)
	@tests/mutants/run

fuzz: deps ## each fuzz target for a short time (needs cargo-fuzz)
	@tests/fuzz/run

deny: ## licences and advisories of the dependencies (needs cargo-deny)
	$(CARGO) deny check

install: ## copies what `make release` built, with manual, units and agents, below DESTDIR (as root: the system)
	@compat/dist/install --programs target/release $(DESTDIR)/
	@compat/dist/install --programs target/release --exporter $(DESTDIR)/

deb: release ## the Debian packages, in target/debian
	@compat/dist/build-deb

musl: ## the programs as static files, in target/*-linux-musl/release
	@compat/dist/build-musl

man: ## checks the manual pages' markup (as root: installs mandoc)
	@tests/deps mandoc
	mandoc -Tlint -W warning man/*.[1-8]

clean: ## removes what was built
	$(CARGO) clean
