# The commands of this project. `make demo` and `make test` need Python 3.11 and nothing else.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
RAY := $(VENV)/.installed-ray

.DEFAULT_GOAL := help
.PHONY: help install demo ui test test-slow test-long lint bench clean

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(INSTALLED): requirements.lock requirements-oracles.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or run make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-oracles.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@# The first load of the definitions reads all sources, and keeps what it found for every later one.
	-@$(BIN)/python -c "import zipp_dagster.definitions"
	touch $(INSTALLED)

$(RAY): $(INSTALLED) requirements-ray.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements-ray.txt
	touch $(RAY)

install: $(INSTALLED) ## Install everything into .venv

demo: $(INSTALLED) ## Materialise every asset of the sample profile (some minutes)
	$(BIN)/zipp run

ui: $(INSTALLED) ## Dagster, MLflow and the report in the browser
	$(BIN)/zipp ui

test: $(INSTALLED) ## Run the tests
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m "not slow and not long and not ray" -n 2 --dist loadfile -q

test-slow: $(INSTALLED) ## Run the tests that kill processes, need a browser, or take minutes
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m slow -n 2 --dist loadfile -q

test-long: $(RAY) ## Run the guides' commands, whole pipelines under kills, Ray, and the paper profile
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m ray -q
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m long -q

lint: $(INSTALLED) ## Style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

bench: $(RAY) ## Run the benchmarks at small sizes; each prints JSON
	for name in benchmarks/*.py; do echo "== $$name"; $(BIN)/python $$name --json || exit 1; done

clean: ## Remove the virtual environment and everything that was generated
	rm -rf $(VENV) .zipp
