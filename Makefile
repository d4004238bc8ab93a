# Every target makes its own virtual environment from the locked requirements: nothing to activate.
# A path with a space in it is fine, so every path here is relative.

PYTHON  ?=
# Half of a test's time is waiting for processes and servers.
WORKERS ?= 3
ARGS    ?=

BIN       := .venv/bin
PY        := $(BIN)/python
LOCKED    := .venv/.locked
INSTALLED := .venv/.installed
PYTEST     = $(PY) -m pytest --numprocesses $(WORKERS) --dist load --maxschedchunk 2
STORE      = tests/migrations $(wildcard tests/integration/test_store_*.py) \
             tests/integration/test_odd_records.py
VERSION    = $(shell sed -n 's/^__version__ = "\(.*\)"/\1/p' syncer/__init__.py)

# Each of the thousand processes that the tests start would compile the program again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo 'PYTHON=python3.12    makes .venv with this one; otherwise the newest of 3.13, 3.12, 3.11'
	@echo 'ARGS="-k walk"       goes to pytest, to the benchmark, or to the fuzzer'
	@echo 'WORKERS=4            tests in parallel; 0 runs them in one process'

.PHONY: demo
demo: $(INSTALLED) ## Sync a simulated API into a PostgreSQL of its own, twice, and show the result
	@$(BIN)/syncer demo

.PHONY: test
test: $(INSTALLED) ## Run the quick tests
	$(PYTEST) -m 'not slow and not long and not container' $(ARGS)

.PHONY: test-all
test-all: $(INSTALLED) ## Run all but the long tests, the store's on older PostgreSQL too
	$(PYTEST) -m 'not long and not container' $(ARGS)
	env -u SYNCER_TEST_DATABASE_URL SYNCER_TEST_POSTGRES_MAJOR=16 $(PYTEST) -m 'not long and not container' $(STORE)
	tests/with-debian-postgres 15 $(PYTEST) -m 'not long and not container' $(STORE)

# Apart, because it takes a process half as long again.
.PHONY: coverage
coverage: $(INSTALLED) ## Say which lines and branches all but the long tests leave out
	$(PYTEST) -m 'not long and not container' --cov --cov-report=term $(ARGS)

.PHONY: test-long
test-long: $(INSTALLED) ## Run what takes an hour: thousands of examples, every crash point, a soak
	$(PYTEST) -m 'long or thorough' --hypothesis-profile=long $(ARGS)

.PHONY: check check-format check-lint check-types check-imports check-schema
check: check-format check-lint check-types check-imports check-schema ## Check all but behaviour
check-format: $(INSTALLED)
	$(PY) -m ruff format --check .
check-lint: $(INSTALLED)
	$(PY) -m ruff check .
check-types: $(INSTALLED)
	$(PY) -m mypy
check-imports: $(INSTALLED)
	$(BIN)/lint-imports --no-logo
check-schema: $(INSTALLED)
	$(PY) -m pytest tests/migrations/test_schema.py

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what the linter can
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

# PEERS=1 measures those of benchmarks/peers as well, each in an environment of its own.
PEERS      ?=
PEER_VENVS  = $(patsubst benchmarks/peers/%/requirements.txt,.bench/%/.locked, \
                $(wildcard benchmarks/peers/*/requirements.txt))

.PHONY: bench
bench: $(INSTALLED) $(if $(PEERS),$(PEER_VENVS)) ## Measure a sync; ARGS=--help lists what else, PEERS=1 adds other programs
	$(PY) -m benchmarks $(if $(PEERS),--peers) $(ARGS)

.PHONY: bench-docs
bench-docs: $(INSTALLED) ## Write what make bench has found into docs/performance.md
	$(PY) -m benchmarks.document

.PHONY: docs
docs: $(INSTALLED) ## Write docs/schema.md and the answers in docs/queries.md from a database
	$(PY) -m tests.written

.bench/%/.locked: benchmarks/peers/%/requirements.txt $(LOCKED)
	@$(PY) -c 'import sys; sys.exit(sys.version_info >= (3, 13))' || \
	    { echo "The peers need Python 3.11 or 3.12: remove .venv, and add PYTHON=python3.12"; exit 1; } >&2
	mkdir -p .bench
	$(PY) -m venv --clear --without-pip .bench/$*
	$(PY) -m pip --python .bench/$*/bin/python install --quiet --require-hashes --requirement $<
	@touch $@

# Its requirements stay out of .venv: only Linux on x86-64 has them. Inputs that reach something new
# go to .fuzz/corpus, findings to .fuzz.
FUZZ_PY := .fuzz/venv/bin/python
FUZZ     = $(FUZZ_PY) -m tests.fuzz -artifact_prefix=.fuzz/ -rss_limit_mb=2048

.PHONY: fuzz
fuzz: .fuzz/.locked ## Fuzz what decodes the API's answers, for ever or ARGS=-max_total_time=3600; on Linux, x86-64
	$(FUZZ) -max_len=65536 $(ARGS) .fuzz/corpus tests/fuzz/corpus

.PHONY: fuzz-keep
fuzz-keep: .fuzz/.locked ## Replace tests/fuzz/corpus by the least that reaches the same and what is new
	rm -rf .fuzz/least && mkdir .fuzz/least
	$(FUZZ) -merge=1 -max_len=2048 .fuzz/least tests/fuzz/corpus .fuzz/corpus
	rm -f tests/fuzz/corpus/* && cp .fuzz/least/* tests/fuzz/corpus

.fuzz/.locked: requirements/fuzz.txt $(LOCKED)
	@[ "$$(uname -sm)" = "Linux x86_64" ] || \
	    { echo "The fuzzer (atheris) can be installed on Linux on x86-64 alone"; exit 1; } >&2
	mkdir -p .fuzz/corpus
	$(PY) -m venv --clear --without-pip .fuzz/venv
	$(PY) -m pip --python $(FUZZ_PY) install --quiet --require-hashes --only-binary :all: \
	    --requirement requirements/fuzz.txt
	@touch $@

# The public index alone decides what is in a lock, whatever else pip knows of on this machine; a
# full mirror of it can be given as PIP_INDEX_URL. LOCK_ARGS=--upgrade moves to the newest versions.
COMPILE = env -u PIP_EXTRA_INDEX_URL -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null \
    CUSTOM_COMPILE_COMMAND='make lock' $(PY) -m piptools compile --quiet $(LOCK_ARGS) \
    --generate-hashes --allow-unsafe --no-strip-extras --no-emit-options --no-emit-index-url \
    --no-emit-find-links --no-emit-trusted-host

.PHONY: lock
lock: $(LOCKED) ## Compile the requirement files anew; LOCK_ARGS=--upgrade for the newest versions
	$(COMPILE) --output-file requirements/runtime.txt pyproject.toml
	$(COMPILE) --only-build-deps --build-deps-for wheel \
	    --output-file requirements/build.txt pyproject.toml
	$(COMPILE) --extra embedded --extra dev --all-build-deps \
	    --constraint requirements/runtime.txt --constraint requirements/build.txt \
	    --output-file requirements/dev.txt pyproject.toml
	$(COMPILE) --constraint requirements/runtime.txt \
	    --output-file requirements/fuzz.txt requirements/fuzz.in
	for peer in benchmarks/peers/*/; do \
	    $(COMPILE) --output-file "$${peer}requirements.txt" "$${peer}requirements.in" || exit; \
	done

.PHONY: image
image: ## Build the container image syncer:VERSION
	docker build --tag 'syncer:$(VERSION)' --build-arg 'VERSION=$(VERSION)' \
	    --build-arg "REVISION=$$(git rev-parse HEAD)" \
	    --build-arg "CREATED=$$(git log -1 --format=%cI)" .

# docker-compose, where that is what there is.
COMPOSE ?= docker compose

.PHONY: container-demo
container-demo: ## Run PostgreSQL, the daemon and a simulated API in containers; ARGS=--detach
	CLOUDFLARE_API_TOKEN=none deploy/compose/make-secrets secrets/demo
	$(COMPOSE) --env-file deploy/compose/demo.env up --build $(ARGS)

.PHONY: container-test
container-test: $(INSTALLED) ## Build the image and try it and the demo in containers, for some minutes
	$(PY) -m pytest -m container --capture=no --verbose tests/container $(ARGS)

.PHONY: clean
clean: ## Remove what make has made; the embedded database in .syncer stays
	rm -rf .venv .bench .fuzz build dist .coverage .coverage.* .hypothesis .import_linter_cache \
	    .mypy_cache .pytest_cache .ruff_cache
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: venv
venv: $(INSTALLED) ## Make the virtual environment .venv

# A virtual environment holds its own path: in a checkout that was moved or copied it is made anew.
ifneq "$(shell cat .venv/.path 2>/dev/null)" "$(shell pwd -P)"
.PHONY: $(LOCKED)
endif

$(LOCKED): requirements/dev.txt
	@requirements/make-venv "$(PYTHON)"
	@pwd -P > .venv/.path
	@touch $@

$(INSTALLED): $(LOCKED) pyproject.toml syncer/__init__.py
	$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
