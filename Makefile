# Two commands matter: `make demo` and `make test`. Both install what is missing first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# What test-results.xml and rehearsal-results.xml are of.
SUITE = instrument-registry $(shell git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null)

# Processes are started by the hundred: their modules are compiled once.
unexport PYTHONDONTWRITEBYTECODE

LOAD_OPTIONS = --output $(or $(OUTPUT),.) $(DATA)

.DEFAULT_GOAL := help
.PHONY: help demo test docs faults rehearsal fuzz lint relevance full-data bench bench-lookup bench-scaling bench-rebuild bench-profiles bench-client load-burst load-sustained load-short screenshots check lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/demo.installed ## the whole system on this machine, at http://127.0.0.1:8080
	@exec $(BIN)/instrument-registry demo $(ARGS)

test: $(VENV)/dev.installed ## the whole test suite, against real embedded Postgres and Redis Stack; writes test-results.xml
	$(BIN)/python -m pytest -n 4 --dist worksteal --junitxml=test-results.xml -o junit_suite_name="$(SUITE)" $(ARGS)

faults: $(VENV)/dev.installed ## break everything under load, one after the other; REPORT=faults.json RATE=100
	FAULTS_REPORT=$(or $(REPORT),faults.json) FAULTS_RATE=$(or $(RATE),100) \
		$(BIN)/python -m pytest tests/faults tests/runbooks -m "slow or not slow" --durations=0 $(ARGS)

rehearsal: $(VENV)/dev.installed ## releases rehearsed with HAProxy and Prometheus, good and bad ones; OUTPUT=folder for evidence and rehearsal-results.xml
	REHEARSAL_OUTPUT=$(or $(OUTPUT),rehearsal) \
		$(BIN)/python -m pytest tests/rollout -m "slow or not slow" -rA --durations=0 \
		--junitxml=$(or $(OUTPUT),rehearsal)/rehearsal-results.xml -o junit_suite_name="$(SUITE)" $(ARGS)

fuzz: $(VENV)/dev.installed ## fuzz the API from its description at length; EXAMPLES=500 SEED=1
	FUZZ_EXAMPLES=$(or $(EXAMPLES),500) FUZZ_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest tests/integration/test_openapi.py -k fuzzing $(ARGS)

lint: $(VENV)/dev.installed ## ruff, mypy (strict) and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml

docs: $(VENV)/dev.installed ## the documentation's site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)

full-data: $(VENV)/dev.installed ## measure import, first fill, refresh and searches on DATA=folder
	@$(BIN)/python -m loadtests.full_data $(DATA)

bench: $(VENV)/dev.installed ## measure every ratio of docs/performance.md on DATA=folder (needs wrk); ARGS="--only exact"
	@$(BIN)/python -m loadtests.bench $(DATA) $(ARGS)

bench-lookup: $(VENV)/dev.installed ## measure how many identifiers one API process looks up, with DATA=folder
	@$(BIN)/python -m loadtests.lookups $(DATA)

relevance: $(VENV)/dev.installed ## measure how well searches find what is meant on DATA=folder; SEED=1 PER_FAMILY=100
	@$(BIN)/python -m tests.relevance $(DATA) --seed $(or $(SEED),1) --per-family $(or $(PER_FAMILY),100) $(ARGS)

bench-scaling: $(VENV)/dev.installed ## measure how far one Redis goes with DATA=folder, and what a replica adds
	@$(BIN)/python -m loadtests.scaling $(DATA)

bench-rebuild: $(VENV)/dev.installed ## measure rebuilds of DATA=folder under load; REBUILDS=10
	@$(BIN)/python -m loadtests.rebuilds $(DATA) $(or $(REBUILDS),10)

bench-client: $(VENV)/dev.installed ## measure the Python client against a hand-written aiohttp loop
	@$(BIN)/python -m loadtests.client

bench-profiles: $(VENV)/dev.installed ## measure profile reads and writes against bare loops (needs wrk)
	@$(BIN)/python -m loadtests.profiles

screenshots: $(VENV)/dev.installed ## take the pictures of the console for docs/images, and measure its first paint (needs chromium)
	@$(BIN)/python -m tests.console docs/images

load-burst: $(VENV)/dev.installed ## a load test at a high rate of a service of its own; FACTOR=10 SECONDS=60 DATA=folder
	@$(BIN)/python -m loadtests.local burst $(if $(SECONDS),--seconds $(SECONDS)) --factor $(or $(FACTOR),1) $(LOAD_OPTIONS)

load-sustained: $(VENV)/dev.installed ## the same for long, with refreshes and rebuilds; MINUTES=30 DATA=folder
	@$(BIN)/python -m loadtests.local sustained --seconds $$(($(or $(MINUTES),30) * 60)) $(LOAD_OPTIONS)

load-short: $(VENV)/dev.installed ## two minutes of it, where others use the machine: latency is not judged
	@$(BIN)/python -m loadtests.local sustained --seconds 120 --no-latency $(LOAD_OPTIONS)

check: lint test load-short ## what CI runs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another with make PYTHON=/path/to/python3") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.installed: requirements/demo.txt pyproject.toml clients/python/pyproject.toml | $(VENV)/bin/python
	@echo "Installing (the first time takes a minute) ..."
	$(PIP) install --require-hashes -r requirements/demo.txt
	$(PIP) install --no-deps --no-build-isolation -e clients/python -e .
	@$(BIN)/python -m app.embedded
	@touch $@

$(VENV)/dev.installed: requirements/dev.txt $(VENV)/demo.installed
	$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

lock: | $(VENV)/bin/python ## write requirements/*.txt anew from pyproject.toml (needs uv)
	$(PIP) install uv
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) pyproject.toml -o requirements/service.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra demo -c requirements/service.txt -o requirements/demo.txt
	$(COMPILE) pyproject.toml requirements/build.in --extra demo --extra loadtest --extra tracing --extra docs --extra dev -c requirements/demo.txt -o requirements/dev.txt

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) .data
