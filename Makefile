# What can be done here; `make help` lists it. Needs Go and, for Kafka, what docker/kafka/provide installs.

.DEFAULT_GOAL := help
SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c

GO_MIN        := 1.26
VERSION       := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
COMMIT        := $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
DATE          := $(shell TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo unknown)
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
KAFKA         := docker/kafka

# The race detector needs a C compiler; without one the tests still run.
RACE := $(if $(shell command -v "$$(go env CC 2>/dev/null)"),-race)

# Packages whose tests ask internal/kafkatest for a cluster, and all others.
uses_kafka  := {{range .TestImports}}{{.}} {{end}}{{range .XTestImports}}{{.}} {{end}}{{.ImportPath}}
list_kafka  := go list -f '{{.ImportPath}}: $(uses_kafka)' ./... | sed -n 's|: .*/internal/kafkatest.*||p'
list_others := go list -f '{{.ImportPath}}: $(uses_kafka)' ./... | sed '/: .*\/internal\/kafkatest/d; s|: .*||'

# Packages that take minutes, the longest first: two run at a time, and one that starts late would run alone at the end.
longest := $(addprefix ./integration/,fault pipe storm session security)

# compile FILE builds the command, statically linked.
compile = CGO_ENABLED=0 go build -trimpath -ldflags '-X main.release=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)' -o $(1) ./cmd/eos-pipe

# with_kafka runs a command with the environment that provide prints, and ends what brokers it left when it died.
with_kafka = env=$$($(KAFKA)/provide); trap $(KAFKA)/sweep EXIT; env $$env

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: build
build: need-go ## build bin/eos-pipe, statically linked
	$(call compile,bin/eos-pipe)

IMAGE    ?= eos-pipe:latest
CA_ROOTS ?= $(firstword $(wildcard /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem))

.PHONY: image
image: image-files ## build the container image IMAGE (eos-pipe:latest) from what this machine has; pulls nothing
	@docker info >/dev/null 2>&1 || { echo 'image: no docker daemon answers here; docker/kafka/image installs and starts one where it can' >&2; exit 1; }
	docker build -q -f docker/Dockerfile --target local --build-arg VERSION='$(VERSION)' -t '$(IMAGE)' bin/image

.PHONY: image-files
image-files: need-go # lay out the files of the image in bin/image: the binary, for Linux, and the CA roots of this machine (CA_ROOTS)
	@[[ -r '$(CA_ROOTS)' ]] || { echo 'image-files: no CA roots here; install ca-certificates, or name a PEM file: CA_ROOTS=FILE' >&2; exit 1; }
	@rm -rf bin/image && install -d -m 755 bin/image bin/image/etc bin/image/etc/ssl bin/image/etc/ssl/certs
	@install -m 644 '$(CA_ROOTS)' bin/image/etc/ssl/certs/ca-certificates.crt
	GOOS=linux $(call compile,bin/image/eos-pipe)
	@chmod 755 bin/image/eos-pipe

.PHONY: demo
demo: need-go ## build it and run its demonstration, which needs no Kafka
	@echo 'demo: compiling eos-pipe into bin/eos-pipe; the first time Go also fetches and compiles what it is made of, in a minute or so' >&2
	@$(call compile,bin/eos-pipe)
	@bin/eos-pipe demo

.PHONY: test
test: need-go race-hint ## run all tests, those on real Kafka included; installs or builds the Kafka they need
	@echo 'test: the packages that need no Kafka'
	@packages=$$($(list_others)); go test $(RACE) -count=1 -timeout 10m $$packages
	@$(MAKE) --no-print-directory test-deploy
	@echo 'test: the packages that need a real Kafka'
	@packages=$$($(list_kafka)); $(with_kafka) go test $(RACE) -count=1 -timeout 45m -p 2 $(longest) $$packages
	@if docker info >/dev/null 2>&1; then $(MAKE) --no-print-directory test-image; \
	  else echo 'test: no docker daemon answers here: the tests of the container image are left out (make test-image)' >&2; fi

.PHONY: test-deploy
test-deploy: need-go ## test compose.yaml, the Kubernetes manifests, the alerts: docker/check, a module of its own
	@echo 'test: what docker/ holds, with the code of its tools; it takes two minutes to compile the first time'
	@cd docker/check && go test -count=1 -timeout 10m ./...

.PHONY: test-interop
test-interop: need-go ## four other clients with every codec write the input and read the output; codecs beside a registry (docs/neighbours.md)
	@$(with_kafka) EOS_TEST_INTEROP=full go test $(RACE) -count=1 -timeout 30m ./integration/interop && result=passed || result=failed; \
	  internal/tested/record test-interop $$result '40 writers (4 clients, 5 codecs, with and without transactions), 4 readers, a registry'; [[ $$result == passed ]]

.PHONY: test-image
test-image: image ## build the image and test it: what is in it, and pipes in confined containers on real Kafka; needs docker
	@$(with_kafka) EOS_TEST_IMAGE='$(IMAGE)' go test $(RACE) -tags image -run '^TestImage' -count=1 -timeout 15m ./integration/pipe

.PHONY: test-unit
test-unit: need-go race-hint ## run the tests that need nothing but Go
	@go test $(RACE) ./...

COUNT    ?= 100
RUN      ?= .
PACKAGES ?=

.PHONY: test-flaky
test-flaky: need-go race-hint ## run the tests that need no Kafka COUNT (100) times under load, all or those of PACKAGES (./eos) and RUN; takes hours
	@packages='$(PACKAGES)'; [[ -n $$packages ]] || packages=$$($(list_others)); \
	  RACE='$(RACE)' internal/tested/flaky '$(COUNT)' '$(RUN)' $$packages

CLIENT  ?= latest
franz_go := github.com/twmb/franz-go

.PHONY: test-client
test-client: need-go race-hint ## run the tests that need no Kafka with another franz-go: version CLIENT (the newest), and the newest kadm and kmsg that fit
	@dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; cp go.mod go.sum "$$dir"; export GOFLAGS="$${GOFLAGS-} -modfile=$$dir/go.mod"; \
	  go get $(franz_go)/pkg/kadm@latest $(franz_go)/pkg/kmsg@latest $(franz_go)@$(CLIENT) 2>/dev/null || go get $(franz_go)@$(CLIENT); \
	  echo "test-client: $$(go list -m $(franz_go) $(franz_go)/pkg/kadm $(franz_go)/pkg/kmsg | tr '\n' ' ')"; \
	  packages=$$($(list_others)); go test $(RACE) -count=1 -timeout 20m $$packages

TORTURE_TIME ?= 1h
TORTURE_OUT  ?= bin/torture

.PHONY: torture
torture: need-go ## storms of faults for TORTURE_TIME (1h) on real Kafka; the report goes to TORTURE_OUT (bin/torture)
	@rm -f '$(TORTURE_OUT)/summary'; \
	  $(with_kafka) TORTURE_TIME='$(TORTURE_TIME)' TORTURE_OUT='$(abspath $(TORTURE_OUT))' \
	  go test -tags torture -run '^TestTorture$$' -count=1 -timeout 0 -v ./integration/storm && result=passed || result=failed; \
	  internal/tested/record torture $$result "$$(cat '$(TORTURE_OUT)/summary' 2>/dev/null || echo 'ended without a report')"; [[ $$result == passed ]]

KAFKA_VERSIONS ?= 3.9.1 4.0.2 4.1.2 4.2.2 4.3.1

# What is run on other versions: the session, processes that are killed or stopped, brokers that die, late requests.
versions_tests := ^Test(Session.*|KillNine|KillInOpenTransaction|KillAtProtocolSteps|Sigstop.*|CopyAbortedInput|OneBroker|ThreeBrokers|EostestSession.*|FaultExpiry)$$

.PHONY: test-versions
test-versions: need-go ## run the tests that depend on the broker most on other versions of Kafka (KAFKA_VERSIONS), natively
	@internal/tested/versions '$(versions_tests)' $(KAFKA_VERSIONS)

BROWSER     ?= chromium
BROWSER_OUT ?= bin/browser

.PHONY: test-browser
test-browser: need-go ## open the live page in a real browser (BROWSER, a Chromium); pictures go to BROWSER_OUT (bin/browser)
	@mkdir -p '$(BROWSER_OUT)'
	EOS_TEST_BROWSER='$(BROWSER)' go test -tags browser -run 'InBrowser$$' -count=1 -artifacts -outputdir '$(abspath $(BROWSER_OUT))' ./monitor

.PHONY: check
check: need-go ## check format, vet, module sums, and lint
	@unformatted=$$(gofmt -l .); [[ -z $$unformatted ]] || { echo "not formatted: $$unformatted" >&2; exit 1; }
	go vet ./...
	go mod verify
	cd docker/check && go vet ./... && go mod verify
	cd docker/neighbours/go && go vet ./... && go mod verify
	@$(MAKE) --no-print-directory lint

.PHONY: lint
lint: need-go ## run golangci-lint (.golangci.yaml); building it takes one to two minutes the first time
	go run $(GOLANGCI_LINT) run ./...
	cd docker/check && go run $(GOLANGCI_LINT) run ./...
	cd docker/neighbours/go && go run $(GOLANGCI_LINT) run ./...

.PHONY: bench
bench: need-go ## run the benchmarks of ./bench on real Kafka
	@$(with_kafka) go test -run '^$$' -bench . -count=1 -timeout 60m -p 1 ./bench/...

# Other systems that people run it on: what CI compiles for them, it does not run there.
.PHONY: cross
cross: need-go ## compile for Windows and macOS, tests included, as far as a compiler can tell that it works there
	@for system in windows/amd64 darwin/arm64; do echo "cross: $$system"; \
	  CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go vet ./cmd/... ./eos/... ./processor/... ./monitor/... ./security/... ./codec/...; done

# The tools of a release, by version; each is compiled the first time, which takes some minutes.
GORELEASER := github.com/goreleaser/goreleaser/v2@v2.15.1
SBOM       := github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0
BUILDX     := github.com/docker/buildx/cmd/buildx@v0.38.2

.PHONY: release-files
release-files: need-go ## lay out what release files hold besides the binary, in bin/release: completions, CA roots, the tool that lists modules
	@[[ -r '$(CA_ROOTS)' ]] || { echo 'release-files: no CA roots here; install ca-certificates, or name a PEM file: CA_ROOTS=FILE' >&2; exit 1; }
	@rm -rf bin/release && mkdir -p bin/release/completions && install -m 644 '$(CA_ROOTS)' bin/release/ca-certificates.crt
	@$(call compile,bin/eos-pipe)
	@for shell in bash zsh fish; do bin/eos-pipe completion $$shell > bin/release/completions/eos-pipe.$$shell; done
	GOBIN='$(CURDIR)/bin/release' go install $(SBOM)

.PHONY: release-check
release-check: need-go ## check .goreleaser.yaml
	go run $(GORELEASER) check

.PHONY: release-snapshot
release-snapshot: need-go ## make all files of a release in dist/, and publish nothing; the image where docker answers
	@mkdir -p bin/docker/cli-plugins; skip=publish; \
	  if docker info >/dev/null 2>&1; then docker buildx version >/dev/null 2>&1 || \
	      { GOBIN='$(CURDIR)/bin/docker' go install $(BUILDX) && mv bin/docker/buildx bin/docker/cli-plugins/docker-buildx; }; \
	  else skip=publish,docker; echo 'release-snapshot: no docker daemon answers here: the image is left out' >&2; fi; \
	  [[ ! -x bin/docker/cli-plugins/docker-buildx ]] || export DOCKER_CONFIG='$(CURDIR)/bin/docker'; \
	  PATH='$(CURDIR)/bin/release':"$$PATH" COMMIT='$(COMMIT)' DATE='$(DATE)' go run $(GORELEASER) release --snapshot --clean --skip=$$skip

.PHONY: kafka-up
kafka-up: ## start a broker at localhost:9092 to play with, in docker or natively
	@$(KAFKA)/broker up

.PHONY: kafka-down
kafka-down: ## end that broker and remove its data
	@$(KAFKA)/broker down

.PHONY: clean
clean: ## remove what was built here and what dead tests left
	rm -rf bin dist
	@$(KAFKA)/sweep

.PHONY: need-go
need-go: # fail with one clear line if Go is missing or too old
	@command -v go >/dev/null || { echo 'make: Go $(GO_MIN) or newer is needed and no go is in PATH; see https://go.dev/dl' >&2; exit 1; }
	@have=$$(go env GOVERSION 2>/dev/null || true); printf 'go%s\n' $(GO_MIN) "$${have#go}" | sort -V -C || \
	  { echo "make: Go $(GO_MIN) or newer is needed; this is $${have:-too old to read go.mod}; see https://go.dev/dl" >&2; exit 1; }

.PHONY: race-hint
race-hint: # say so if the tests will run without the race detector
	@[[ -n '$(RACE)' ]] || echo 'test: no C compiler is here: the tests run without the race detector' >&2
