# Two commands matter: `make rehearse` (the whole lab on this machine) and `make test` (everything CI runs).
# Both install what is missing, and say so before they do it.

SHELL := /bin/bash
CARGO ?= cargo
# The program, static: it runs on any Linux, however old, and so on the deployment server, too.
STATIC := target/x86_64-unknown-linux-musl/release/poclab
POCLAB := target/poclab
PREFIX ?= /usr/local
SCRIPTS := $(shell git ls-files -z -- ':!*.rs' ':!*.tera' 2>/dev/null | xargs -0 grep -lE '^\#!.*\b(ba|da)?sh\b' 2>/dev/null)

.PHONY: help build release app-test rehearse rehearse-down test check unit lab-test test-selinux fuzz vagrant-check bench install prerequisites test-prerequisites schemas

help:            ## this list
	@grep -hE '^[a-z-]+: .*## |^[a-z-]+: *## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

build: prerequisites ## the tool, a static program: target/poclab
	$(CARGO) build --release --locked --target x86_64-unknown-linux-musl --features vendored-openssl --bin poclab
	ln -sfn $(STATIC:target/%=%) $(POCLAB)

release: prerequisites ## the same for this machine alone, with its OpenSSL: target/release/poclab
	$(CARGO) build --release --locked

rehearse: build  ## four local hosts, full bootstrap, full verification
	$(POCLAB) rehearse up
	$(POCLAB) --inventory inventory/rehearsal.yml bootstrap

rehearse-down:   ## remove the rehearsal
	$(POCLAB) rehearse down

test: test-prerequisites check unit app-test lab-test vagrant-check ## everything that CI runs
	@echo "all tests passed"

check:           ## formatting, lints, shell scripts
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	shellcheck $(SCRIPTS)
	bench/document --check

unit:            ## unit, golden, binary and real-sshd tests
	POCLAB_REQUIRE_SSHD=1 POCLAB_REQUIRE_TOOLS=1 $(CARGO) test --locked --workspace --no-fail-fast

app-test:        ## the application's own tests: lint, types, 100 % coverage, known vulnerabilities, its scripts
	APP_VENV=$(CURDIR)/target/app-venv app/ci/unit

lab-test: build  ## the four-host container lab, and a host that is damaged on purpose
	tests/lab/run

test-selinux:    ## a VM whose SELinux enforces, set up as a host of the lab (in software, about 20 minutes; not part of `make test`)
	rehearsal/install-prerequisites --tests --selinux
	tests/selinux/run

FUZZ_SECONDS ?= 60
fuzz:            ## what hosts may send, by a coverage-guided fuzzer (needs a nightly toolchain and cargo-fuzz)
	cd fuzz && $(CARGO) +nightly run --release --bin write_seeds corpus/host_says
	$(CARGO) +nightly fuzz run --sanitizer none host_says -- -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=4096

vagrant-check:   ## the Vagrantfile, where vagrant can be installed
	tests/vagrant/run

bench: release   ## the numbers of docs/benchmarks.md, beside Ansible and pyinfra (about 40 minutes)
	rehearsal/install-prerequisites --bench
	bench/no-change
	bench/peers/run
	bench/document
	bench/scale

install:         ## program, manual pages and completions below PREFIX (default /usr/local); DESTDIR as usual
	@test -x $(POCLAB) || { echo "$(POCLAB) is not built: run make build first" >&2; exit 1; }
	install -D -m 755 $(POCLAB) $(DESTDIR)$(PREFIX)/bin/poclab
	install -d $(DESTDIR)$(PREFIX)/share/man/man1
	$(POCLAB) man $(DESTDIR)$(PREFIX)/share/man/man1 >/dev/null
	install -d $(addprefix $(DESTDIR)$(PREFIX)/share/,bash-completion/completions zsh/site-functions fish/vendor_completions.d)
	$(POCLAB) completions bash >$(DESTDIR)$(PREFIX)/share/bash-completion/completions/poclab
	$(POCLAB) completions zsh >$(DESTDIR)$(PREFIX)/share/zsh/site-functions/_poclab
	$(POCLAB) completions fish >$(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/poclab.fish

prerequisites:
	rehearsal/install-prerequisites

test-prerequisites:
	rehearsal/install-prerequisites --tests

schemas:         ## regenerate docs/schema from the types
	$(CARGO) run --quiet -- schema docs/schema
