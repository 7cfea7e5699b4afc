# `make demo` and `make test` are all a newcomer needs; each target makes its own virtual environment in .venv.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin
# What is installed stands in stamps beside it: .run has the program, .dev also what tests and linters need.
MADE := $(VENV)/.made
INSTALLED := $(VENV)/.run
DEV := $(VENV)/.dev

.PHONY: help demo test e2e bench picture lint types format clean
.DEFAULT_GOAL := help

help:  ## show this
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## see an intercept happen, in a small cluster made for it
	@$(RUN)/interceptor demo $(ARGS)

test: $(DEV)  ## run the tests that need no cluster
	$(RUN)/pytest $(ARGS)

e2e: $(DEV)  ## run the scenarios on the cluster in KUBECONFIG, or on one made with kind
	$(RUN)/pytest e2e $(ARGS)

bench: $(DEV)  ## measure on the cluster in KUBECONFIG, print the tables, write bench/results*.md
	$(RUN)/python -m bench.run $(ARGS); inbound=$$?; $(RUN)/python -m bench.outbound && exit $$inbound

picture: $(DEV)  ## draw docs/dash.png anew, on the cluster in KUBECONFIG, with Chromium
	INTERCEPTOR_PICTURE=docs/dash.png $(RUN)/pytest e2e/test_dash.py

lint: $(DEV)  ## check style, format and which part imports which
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/lint-imports --no-logo

types: $(DEV)  ## check the types
	$(RUN)/mypy

format: $(DEV)  ## format the code and sort its imports
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "interceptor needs Python 3.11 or newer; type: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(RUN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@touch $@

$(INSTALLED): $(MADE) pyproject.toml
	$(RUN)/python -m pip install --quiet --editable .
	@touch $@

$(DEV): $(MADE) pyproject.toml
	$(RUN)/python -m pip install --quiet --editable . --group dev
	@touch $@ $(INSTALLED)
