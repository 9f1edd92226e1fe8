# nixvm. `make run` shows it, `make test` checks it, `make help` lists the rest.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PREFIX  ?= /usr/local
UNITDIR ?= $(PREFIX)/lib/systemd/user
# "dev" where there is no git: an unpacked archive builds as well.
VERSION ?= $(shell git describe --tags --dirty --match 'v*' 2>/dev/null || echo dev)

# -buildvcs=false: git refuses to answer in a checkout of another user (sudo,
# containers), and the version above is what counts. No cgo: one static binary.
GOBUILD := CGO_ENABLED=0 go build -trimpath -buildvcs=false \
	-ldflags "-s -w -X github.com/nixvm/nixvm/internal/version.number=$(VERSION)"

# The suites of `make test`, in order: NAME runs the target test-NAME; those joined
# by + share the cores (scripts/run-suites). Each directory in editor/ with a Makefile
# joins by itself (its targets: test, lint).
EDITORS := $(patsubst editor/%/Makefile,%,$(wildcard editor/*/Makefile))
SPACE := $(subst ,, )
SUITES := units $(subst $(SPACE),+,guests $(EDITORS) ./vm)

.PHONY: run
run: deps-run build ## Show the whole story on this machine: create, attach, snapshot, break, restore
	@scripts/demo

.PHONY: test
test: deps-test build ## Run every suite: Go, real QEMU guests, editors
	@scripts/run-suites $(SUITES)

.PHONY: build
build: ## Build bin/nixvmd
	@$(GOBUILD) -o bin/nixvmd ./cmd/nixvmd
	@echo "built bin/nixvmd ($(VERSION))"

.PHONY: lint
lint: deps-test ## Check without running: Go, shell, modules, editors
	@scripts/lint

.PHONY: bench
bench: deps-run build ## Measure what bench/README.md describes (some minutes)
	@bench/run

.PHONY: fmt
fmt: ## Format the Go code
	@git ls-files '*.go' | xargs "$$(scripts/tools gofumpt)/gofumpt" -w

.PHONY: generate
generate: ## Write again what is generated from the Go types
	go generate ./...

.PHONY: test-short
test-short: ## Run the Go tests that boot no guest
	@scripts/test-go units -short

.PHONY: test-units
test-units: ## Run the Go packages that need no guest, with the race detector
	@scripts/test-go units

.PHONY: test-guests
test-guests: ## Run the Go packages that boot real QEMU guests
	@scripts/test-go guests

.PHONY: test-long
test-long: deps-test build ## Run the exhaustive matrices (kills, faults, versions) and keep the result in bench/
	@scripts/test-long

.PHONY: test-nixos
test-nixos: deps-test ## Build real NixOS images and check them, where nix and a cache are
	@scripts/test-nixos

test-%: editor/%/Makefile
	@$(MAKE) -C editor/$* test

FUZZTIME ?= 30s
.PHONY: fuzz
fuzz: ## Fuzz every target for FUZZTIME (30s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: install
install: build ## Install the program, user units and completions below PREFIX (/usr/local)
	install -D -m 755 bin/nixvmd $(DESTDIR)$(PREFIX)/bin/nixvmd
	sed 's|@bindir@|$(PREFIX)/bin|' contrib/systemd/nixvmd.service | install -D -m 644 /dev/stdin $(DESTDIR)$(UNITDIR)/nixvmd.service
	install -D -m 644 contrib/systemd/nixvmd.socket $(DESTDIR)$(UNITDIR)/nixvmd.socket
	sed 's|@bindir@|$(PREFIX)/bin|' contrib/systemd/nixvmd-backup.service | install -D -m 644 /dev/stdin $(DESTDIR)$(UNITDIR)/nixvmd-backup.service
	install -D -m 644 contrib/systemd/nixvmd-backup.timer $(DESTDIR)$(UNITDIR)/nixvmd-backup.timer
	bin/nixvmd completion bash | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/bash-completion/completions/nixvmd
	bin/nixvmd completion zsh | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_nixvmd
	bin/nixvmd completion fish | install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/nixvmd.fish

.PHONY: vsix
vsix: ## Build the VS Code extension: editor/vscode/dist/nixvm.vsix
	@$(MAKE) -C editor/vscode vsix

.PHONY: clean
clean: ## Remove what was built (caches outside the tree stay)
	rm -rf bin dist

.PHONY: deps-run deps-test
deps-run deps-test: deps-%:
	@scripts/install-deps $*

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
