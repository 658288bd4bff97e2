# Two commands matter: `make demo` and `make test`. Both install what is missing first.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help demo test fuzz lint full-data bench-rebuild bench-profiles check lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(VENV)/demo.installed ## the whole system on this machine, at http://127.0.0.1:8080
	@exec $(BIN)/instrument-registry demo $(ARGS)

test: $(VENV)/dev.installed ## the whole test suite, against real embedded Postgres and Redis Stack
	$(BIN)/python -m pytest -n 4 --dist worksteal $(ARGS)

fuzz: $(VENV)/dev.installed ## fuzz the API from its description at length; EXAMPLES=500 SEED=1
	FUZZ_EXAMPLES=$(or $(EXAMPLES),500) FUZZ_SEED=$(or $(SEED),1) \
		$(BIN)/python -m pytest tests/integration/test_openapi.py -k fuzzing $(ARGS)

lint: $(VENV)/dev.installed ## ruff, mypy (strict) and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml

full-data: $(VENV)/dev.installed ## measure import, first fill, refresh and searches on DATA=folder
	@$(BIN)/python -m loadtests.full_data $(DATA)

bench-rebuild: $(VENV)/dev.installed ## measure rebuilds of DATA=folder under load; REBUILDS=10
	@$(BIN)/python -m loadtests.rebuilds $(DATA) $(or $(REBUILDS),10)

bench-profiles: $(VENV)/dev.installed ## measure profile reads and writes against bare loops (needs wrk)
	@$(BIN)/python -m loadtests.profiles

check: lint test ## what CI runs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; this is " + sys.version.split()[0] + ". Name another with make PYTHON=/path/to/python3") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.installed: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing (the first time takes a minute) ..."
	$(PIP) install --require-hashes -r requirements/demo.txt
	$(PIP) install --no-deps --no-build-isolation -e .
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
	$(COMPILE) pyproject.toml requirements/build.in --extra demo --extra dev -c requirements/demo.txt -o requirements/dev.txt

clean: ## remove the environment and the demo's data
	rm -rf $(VENV) .data
