# The commands of this project. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# rustup's folder is in the PATH of the next login only.
CARGO_HOME ?= $(HOME)/.cargo
export PATH := $(PATH):$(CARGO_HOME)/bin

# CI builds what Cargo.lock says; at a desk a new dependency may change it.
LOCKED := $(if $(CI),--locked)

# The checkers, pinned and built here: nothing outside of target/ changes.
TOOLS := target/tools
CARGO_DENY := $(TOOLS)/cargo-deny-0.20.2/bin/cargo-deny
CARGO_DEB := $(TOOLS)/cargo-deb-3.8.0/bin/cargo-deb

# How long a target is fuzzed.
FUZZ_SECONDS ?= 60

# What is packaged: cargo's profile, and where it puts what it builds.
PROFILE ?= release
BUILT := target/$(PROFILE:dev=debug)

# Where the linker would find C libraries.
UNLINKED := target/miri/unlinked

SANITIZED := steering calls orchestrator refused_filter

SCRIPTS := .ci/run clients/python/install clients/python/test .ci/rustc-asan .ci/rustc-libfuzzer deploy/*.sh deploy/refresh-credentials deploy/debian/postinst deploy/debian/postrm deploy/debian/prerm \
	tests/deploy/run tests/deploy/series.sh tests/aioquic/install tests/packages/install tests/wasm/build examples/kernels/build tests/fuzz/run

.PHONY: help demo test wasm test-python test-deploy check miri sanitize bench soak abuse fuzz build wheel deb deps aioquic packages check-deps fmt spelling shell tidy deny clippy portable doc

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

demo: deps ## pi, computed by an embedded cluster; ARGS="--samples 1000000" and the like
	cargo run $(LOCKED) --release -p monte-carlo-pi -- $(ARGS)

test: deps aioquic packages ## every test of the workspace, and their count; ARGS="NAME" for some of them
	@mkdir -p target
	@status=0; \
	cargo test $(LOCKED) --workspace --no-fail-fast $(ARGS) 2>&1 | tee target/test.log || status=$$?; \
	deploy/test-count.awk target/test.log || [ $$status -ne 0 ] || status=1; \
	[ -n "$(ARGS)" ] || clients/python/test || status=$$?; \
	exit $$status

# To build what it needs takes some minutes, which CI does not have; clippy reads it there.
wasm: deps ## the tests of WebAssembly for scripts, which a build has by --features wasm; ARGS="NAME" for some of them
	cargo test $(LOCKED) -p madrpc-shard --features wasm --lib wasm $(ARGS)
	cargo test $(LOCKED) -p madrpc-bin --features wasm --test wasm --test init $(ARGS)

test-python: deps ## the tests of the Python package; ARGS="-k map" for some of them
	cargo build $(LOCKED) -p madrpc-bin
	clients/python/test $(ARGS)

test-deploy: ## the package and its units in a Debian that systemd-nspawn boots; needs root; ARGS="NAME" for some of them
	@setpriv --pdeathsig TERM tests/deploy/run $(ARGS)

abuse: build ## what strangers and callers do to a server, measured, one attack after the other; ARGS="hello- --markdown" for some of them
	cargo run $(LOCKED) --release -p madrpc-abuse -- run $(if $(ARGS),$(ARGS),all)

fuzz: deps ## each fuzz target and the compiler of kernels for a minute; FUZZ_SECONDS=3600 ARGS="frames values" for some of them and longer
	@LOCKED=$(LOCKED) tests/fuzz/run $(FUZZ_SECONDS) $(ARGS)
	@[ -n "$(ARGS)" ] || MADRPC_KERNELS_SECONDS=$(FUZZ_SECONDS) cargo test $(LOCKED) -p madrpc-kernels --test fuzz -- --nocapture

check: check-deps fmt shell tidy spelling deny clippy $(if $(CI),,portable) doc ## what has to hold before a change lands
	@echo "every check passed"

# Nothing is linked under Miri, so empty archives stand for BoringSSL, which would take minutes to compile; boring has a
# switch for that, by the name of its first user. What reaches C code is left out, see tests/README.md.
miri: deps ## undefined behaviour in madrpc-core, by Miri; needs a nightly toolchain; ARGS="NAME" for some of them
	@rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal >/dev/null 2>&1 \
		|| { echo "miri: there is no nightly toolchain, and it could not be had (rustup toolchain install nightly)"; exit 1; }
	@rustup run nightly cargo miri --version >/dev/null 2>&1 || rustup component add --toolchain nightly miri rust-src \
		|| { echo "miri: this nightly toolchain has no Miri; another may (rustup update nightly)"; exit 1; }
	@mkdir -p $(UNLINKED) && ar rcs $(UNLINKED)/libssl.a && ar rcs $(UNLINKED)/libcrypto.a
	DOCS_RS=1 RUSTFLAGS="-L native=$(CURDIR)/$(UNLINKED)" MIRIFLAGS="-Zmiri-strict-provenance" \
		cargo +nightly miri test $(LOCKED) -p madrpc-core --lib -- --skip identity:: --skip session::tests:: $(ARGS)

# corosensei tells the sanitizer when the engine changes stacks. Leaks are not looked for: a server ends with what it holds.
sanitize: deps ## memory errors around system calls and the engine, by AddressSanitizer; ARGS="NAME" for some of them
	RUSTC_WORKSPACE_WRAPPER=$(CURDIR)/.ci/rustc-asan ASAN_OPTIONS=detect_stack_use_after_return=0:detect_leaks=0 \
		cargo test $(LOCKED) --no-fail-fast -p madrpc-shard -p madrpc-bin --features corosensei/sanitizer \
		--lib $(addprefix --test ,$(SANITIZED)) $(ARGS)

bench: deps ## whole systems side by side, madrpc and its peers: target/bench/report.md; ARGS="--quick" for a short run
	cargo run $(LOCKED) --release --manifest-path benches/systems/Cargo.toml --target-dir target -- $(ARGS)

soak: build ## all kinds of load for 10 minutes, and whether a fleet stays as it was: target/soak/report.md; ARGS="--duration 4h"
	@setpriv --pdeathsig TERM cargo run $(LOCKED) --release -p madrpc-soak -- $(ARGS)

build: deps ## the command madrpc, optimised: target/release/madrpc
	cargo build $(LOCKED) --profile $(PROFILE) -p madrpc-bin

# The command is in it too: it starts the clusters of notebooks.
wheel: build ## the Python package, with the command: target/wheels/madrpc-*.whl
	@environment=$$(clients/python/install --with-python); cd clients/python; \
	mkdir -p python/madrpc/bin; trap 'rm -rf python/madrpc/bin' EXIT; \
	strip -o python/madrpc/bin/madrpc ../../$(BUILT)/madrpc; \
	PATH=$$environment/bin:$$PATH maturin build $(LOCKED) --quiet --release --strip --target-dir ../../target --out ../../target/wheels

deb: build $(CARGO_DEB) ## the Debian package: target/debian/madrpc_*.deb; ARGS="--deb-version 1.2.3-1" and the like
	@rm -rf target/deb && mkdir -p target/deb
	@$(BUILT)/madrpc man target/deb/man
	@$(BUILT)/madrpc completions bash >target/deb/madrpc.bash
	@$(BUILT)/madrpc completions zsh >target/deb/_madrpc
	@$(BUILT)/madrpc completions fish >target/deb/madrpc.fish
	@$(CARGO_DEB) $(LOCKED) -p madrpc-bin --profile $(PROFILE) --no-build --strip --quiet $(ARGS)

deps:
	@deploy/build-deps.sh

# Another QUIC stack, for the tests that need one; at a desk they say why they are skipped where it cannot be had.
aioquic:
	@tests/aioquic/install --with-python >/dev/null || [ -z "$(CI)" ]

# Packages of npm; without npm their tests say that they are skipped.
packages:
	@tests/packages/install >/dev/null || true

check-deps:
	@deploy/build-deps.sh shellcheck
	@cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy

fmt: check-deps
	cargo fmt --all --check
	cargo fmt --manifest-path benches/systems/Cargo.toml --check
	cargo fmt --manifest-path clients/python/Cargo.toml --check

shell: check-deps
	shellcheck --external-sources $(SCRIPTS)

# Rules of ours that no other tool knows. A bracket keeps a word from finding itself.
tidy:
	@! grep -rnIE 'TO[D]O|FIX[M]E|/(w[o]rk|h[o]me)/' --exclude-dir=target --exclude-dir=.git --exclude=.git --exclude=Cargo.lock . \
		|| { echo "tidy: an issue is the place for open ends; a path of one machine fits no other"; exit 1; }
	@find . -name target -prune -o -name '*.rs' -print0 | xargs -0 wc -l \
		| awk '$$1 > 500 && $$2 != "total" { print "tidy: over 500 lines: " $$2; long = 1 } END { exit long }'
	@! grep -rnE '(\.name|thread|thread_name|spawn)\("[^"]{16,}"' --include='*.rs' --exclude-dir=target . \
		|| { echo "tidy: Linux cuts a thread's name after 15 bytes"; exit 1; }
	@.ci/layers.awk .ci/layers.txt

spelling: deps
	environment=$$(clients/python/install --with-python); "$$environment/bin/typos"

# Without advisories: their database would have to come over the network for each run.
deny: $(CARGO_DENY)
	$(CARGO_DENY) $(LOCKED) --all-features check --hide-inclusion-graph licenses bans sources
	$(CARGO_DENY) $(LOCKED) --manifest-path clients/python/Cargo.toml check --hide-inclusion-graph licenses bans sources

# The last builds its dependencies for itself, as they have fewer features there; boring's switch spares it BoringSSL, in
# a folder of its own, as the first would have to build that again.
clippy: check-deps
	cargo clippy $(LOCKED) --workspace --all-targets --all-features -- -D warnings
	PYO3_NO_PYTHON=1 PYO3_BUILD_EXTENSION_MODULE=1 cargo clippy $(LOCKED) --manifest-path clients/python/Cargo.toml --target-dir target -- -D warnings
	DOCS_RS=1 cargo clippy $(LOCKED) --target-dir target/no-engine -p madrpc-shard --no-default-features -- -D warnings

# At a desk: in CI the time for two more builds of all that it uses is missing. The compiler alone, as nothing can be linked or run
# here. boring's switch spares it BoringSSL, whose declarations are made from headers that fit: Linux's own for macOS, MinGW's for
# Windows.
portable: check-deps ## the client for macOS and Windows, as far as the compiler can tell; says what it had to leave out
	@check() { \
		if ! rustup target list --installed | grep -x "$$1" >/dev/null; then \
			echo "portable: $$1 is left out: its standard library is not installed (rustup target add $$1)"; \
		elif [ ! -d $$2 ]; then \
			echo "portable: $$1 is left out: there are no headers in $$2 (apt-get install mingw-w64-x86-64-dev)"; \
		else \
			DOCS_RS=1 cargo clippy $(LOCKED) --target $$1 -p madrpc-shard --no-default-features -- -D warnings; \
		fi; \
	}; \
	export BINDGEN_EXTRA_CLANG_ARGS_x86_64_apple_darwin="--target=x86_64-unknown-linux-gnu"; \
	export BINDGEN_EXTRA_CLANG_ARGS_x86_64_pc_windows_gnu="-I/usr/x86_64-w64-mingw32/include"; \
	check x86_64-apple-darwin /usr/include; \
	check x86_64-pc-windows-gnu /usr/x86_64-w64-mingw32/include

doc: check-deps
	RUSTDOCFLAGS="-D warnings" cargo doc $(LOCKED) --workspace --all-features --no-deps

# Unoptimised: quick to build, and still done with this repository in a second or two.
$(TOOLS)/%: | check-deps
	@echo "building $(word 1,$(subst /, ,$*)) (once; about a minute)"
	@crate=$(word 1,$(subst /, ,$*)); \
	CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 cargo install --quiet --debug --locked --no-track \
		--root $(TOOLS)/$$crate --target-dir $(TOOLS)/build "$${crate%-*}@$${crate##*-}"
	@rm -rf $(TOOLS)/build
