# Two commands for users: `make verify` and `make test`. Each sets up .venv when it is missing.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: help setup verify report test test-slow lint test-browser wheel-test figures clean

help:
	@echo "make verify      check the statements of the papers (sets up .venv first)"
	@echo "make test        run linters, type checks and tests (sets up .venv first)"
	@echo "make test-slow   run the tests that make test leaves out"
	@echo "make report      write the report on all statements into ./report"
	@echo "make test-browser  look at that report in a headless Chromium (installs it by apt-get)"
	@echo "make wheel-test  build the wheel, install it into an empty environment and use it"
	@echo "make figures     draw the figures into ./figures"
	@echo "make clean       remove .venv and build products"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@echo "== Setting up .venv with $$($(PYTHON) --version) (a few minutes, once)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "iclproof needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[test,build]'
	@touch $@
	@echo "== .venv is ready"

verify: $(READY)
	@$(BIN)/iclproof verify

report: $(READY)
	@echo "== the report: report/index.html"
	@$(BIN)/iclproof report --out report

lint: $(READY)
	@echo "== ruff, import floors, mypy"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports
	@$(BIN)/mypy

test: lint
	@echo "== tests"
	@$(BIN)/pytest -n 2

test-slow: $(READY)
	@$(BIN)/pytest -n 2 -m slow

test-browser: report
	@tests/browser/setup.sh
	@echo "== the report in a headless Chromium"
	@ICLPROOF_REPORT=report $(BIN)/pytest -m browser tests/browser

wheel-test: $(READY)
	@echo "== the built wheel in an empty environment"
	@$(BIN)/python tests/wheel_in_empty_environment.py

figures: $(READY)
	@$(BIN)/iclproof figures --out figures

clean:
	rm -rf .venv report dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
