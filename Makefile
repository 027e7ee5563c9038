# Two commands do everything: `make demo` and `make test`.

GO      ?= go
BIN     := bin/supervise
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS := -s -w -X main.version=$(VERSION)
PREFIX  ?= /usr/local
export CGO_ENABLED ?= 0

.PHONY: all build demo test unit lint needs fuzz bench chaos otp-diff mutants install clean

all: build

build: ## one static binary
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/supervise

demo: build ## a crash, a restart, an escalation; it ends by itself
	$(BIN) -config configs/demo.toml

needs: ## installs what the tests use: real servers, a real systemd
	./.ci/needs

lint: ## gofmt, vet and the linters of .golangci.yml
	$(GO) tool -modfile=tools/go.mod golangci-lint run ./...

test: needs lint unit ## everything, with the race detector

unit: build
	CGO_ENABLED=1 $(GO) test -race -timeout 15m ./...

bench: build ## ratios against the limits of the machine and against peers; SETS, SYSTEMS, ROUNDS, see bench/bench.py --list
	./bench/needs
	./bench/build.sh
	python3 bench/bench.py --rounds $(or $(ROUNDS),3) $(if $(SYSTEMS),--systems "$(SYSTEMS)") $(SETS)
	$(if $(SETS)$(SYSTEMS),,$(GO) run ./bench/ipc)

chaos: ## random trees under random signals: make chaos SEED=7 ROUNDS=20
	SEED=$(SEED) ROUNDS=$(ROUNDS) $(GO) test -count=1 -v -timeout 60m -run TestChaos ./internal/chaos

torture: ## the long form of the torture: a million restarts, 10,000 workers, a day of probes (docs/torture.md, docs/faults.md)
	TORTURE=1 $(GO) test -count=1 -v -timeout 60m ./internal/e2e ./internal/node
	TORTURE=1 $(GO) test -count=1 -v -timeout 60m -run Tries ./internal/ready

fuzz: ## whole trees in random worlds, for long: make fuzz WORLDS=10000000
	$(GO) test ./tree -run TestTheInvariantsHoldInEveryWorld -timeout 0 -worlds $(or $(WORLDS),2000000)
	$(GO) test ./tree -run xxx -fuzz FuzzWorld -fuzztime $(or $(FUZZTIME),60s)

mutants: ## breaks the core in many ways, and says which test notices: docs/mutation.md
	$(GO) run ./internal/mutants $(ONLY)

otp-diff: ## compares the core with OTP's own supervisor (Debian: erlang-nox): docs/otp-diff.md
	$(GO) run ./internal/otpdiff -n $(or $(N),2000) -seed $(or $(SEED),1)

install: build ## binary, manual and systemd unit: make install PREFIX=/usr DESTDIR=
	install -Dm755 $(BIN) $(DESTDIR)$(PREFIX)/bin/supervise
	install -Dm644 docs/supervise.1 $(DESTDIR)$(PREFIX)/share/man/man1/supervise.1
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/|$(PREFIX)/|' configs/systemd/supervise.service > $(DESTDIR)$(PREFIX)/lib/systemd/system/supervise.service

clean:
	rm -rf bin bench/bin
