# make quickstart: a first search, end to end, and plans. make test: the tests. Both set up what they need; repeating is instant.
# Another Python: make quickstart PYTHON=python3.12. More processors for the tests: make test WORKERS=6

PYTHON ?= python3
WORKERS ?= 3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INPUTS := pyproject.toml constraints.txt hwnas/__init__.py

.PHONY: help venv install dev quickstart test test-fast lint format bench clean
.DELETE_ON_ERROR:
unexport PYTHONDONTWRITEBYTECODE
# Where it is set, each of hundreds of processes that tests start would compile hwnas anew.

help:
	@echo "make quickstart  install into $(VENV), run experiments/quickstart.yaml and plan edge and cloud over Wi-Fi"
	@echo "make test        install what the tests need and run them"
	@echo "make test-fast   those that need no server, browser or conversion to TFLite: for use while writing"
	@echo "make lint        ruff and mypy      make format  ruff's formatter"
	@echo "make bench       every benchmark    make clean   remove $(VENV) and caches (runs/ stays)"

venv: $(BIN)/python

install: $(VENV)/.installed

dev: $(VENV)/.installed-dev

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no '$(PYTHON)' here. hwnas needs Python 3.11, 3.12 or 3.13:" \
		"install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "'$(PYTHON)' is $$($(PYTHON) --version). hwnas needs Python 3.11, 3.12 or 3.13:" \
		"name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments (no ensurepip). On Debian and Ubuntu:" \
		"apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# The pip that Python 3.11 brings (23.2.1) cannot resolve litert-torch; constraints.txt pins one that can.
$(VENV)/.installed: $(INPUTS) | $(BIN)/python
	$(PIP) install --upgrade -c constraints.txt pip
	$(PIP) install -c constraints.txt -e ".[tflite,convert]"
	@touch $@

$(VENV)/.installed-dev: $(INPUTS) | $(VENV)/.installed
	$(PIP) install -c constraints.txt -e ".[tflite,convert,dev]"
	@touch $@

quickstart: install
	$(BIN)/hwnas run experiments/quickstart.yaml
	$(BIN)/hwnas plan runs/quickstart --link wifi

# Slow tests wait for servers and for processes that they kill: a third worker uses two cores meanwhile.
test: dev
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 1

test-fast: dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 1 -m "not slow"

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev
	@set -e; for file in benchmarks/[!_]*.py; do echo "== $$file"; $(BIN)/python $$file; done

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
