# make demo   set up and run the whole flow from recorded readings (ARGS="--for 45 --no-browser")
# make test   set up, install the test servers where that is allowed, check and test everything
# make check  lint, types, import contracts
# make soak   the long fault campaigns     make bench  the figures     make up  compose

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check soak bench up servers format clean

demo: $(VENV)/.demo
	@$(BIN)/hinomi demo $(ARGS)

test: $(VENV)/.dev servers check
	$(BIN)/pytest $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.dev servers
	$(BIN)/pytest -m soak --timeout 3600 $(ARGS)

bench: $(VENV)/.dev servers
	@for script in bench/[a-z]*.py; do \
	  case $$script in */baseline_*|*/common*) continue;; esac; \
	  echo "== $$script"; $(BIN)/python $$script $(ARGS) || exit 1; \
	done

up:
	@if docker compose version >/dev/null 2>&1; then docker compose up --build; else docker-compose up --build; fi

servers:
	@deploy/test-servers.sh

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Hinomi needs Python 3.11 or newer; $$($(PYTHON) --version) is here (PYTHON=… names another)"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "venv is missing: apt-get install python3-venv"; exit 2; }

# dev contains demo: a tree that tests need not be set up twice.
$(VENV)/.demo: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Setting up (about a minute the first time) …"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Setting up for development …"
	@$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.demo $@
