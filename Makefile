# Counterfoil. Needs Python 3.11 and make; everything else is set up by itself.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
PACKAGES := core daemon gateway node
CHECKED := core daemon gateway node demo bench tools tests

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint bench stubs format clean

help:  ## what can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(VENV)/.ready: constraints.txt requirements-dev.txt $(PACKAGES:%=%/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt \
		$(PACKAGES:%=-e ./%) -r requirements-dev.txt
	@touch $@

setup: $(VENV)/.ready  ## a virtual environment with the four packages and the tools

demo: setup  ## five lenders, one gateway, real loans: the main job in two minutes
	$(BIN)/python -m demo

test: setup  ## every test, on real daemons
	$(BIN)/python -m pytest

lint: setup  ## ruff, mypy, buf lint and breaking, fresh stubs
	$(BIN)/ruff check $(CHECKED)
	$(BIN)/ruff format --check $(CHECKED)
	$(BIN)/mypy $(CHECKED)
	cd protos && ../$(BIN)/buf lint
	$(BIN)/python tools/check_breaking.py
	$(BIN)/python tools/generate_stubs.py --check

bench: setup  ## measure, print a table, write bench/results/latest.json
	$(BIN)/python -m bench

stubs: setup  ## generate core/counterfoil/v1 from protos
	$(BIN)/python tools/generate_stubs.py

format: setup  ## format the code
	$(BIN)/ruff check --fix $(CHECKED)
	$(BIN)/ruff format $(CHECKED)

clean:  ## remove what make made
	rm -rf $(VENV) build .mypy_cache .pytest_cache .ruff_cache .hypothesis demo-out
