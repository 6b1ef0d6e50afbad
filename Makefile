# make run   set everything up and serve on http://127.0.0.1:8000
# make test  set up what the tests need, then run every check
#
# Both can be repeated: what is up to date is not done again.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help install run demo test lint format types imports check soak bench lock clean

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make install   the environment in .venv and the heed command
install: $(VENV)/.installed

## make run       install, bring the database up to date, serve on http://127.0.0.1:8000
run: install
	@$(BIN)/heed migrate
	@exec $(BIN)/heed serve

## make demo      a simulated shop with a story in it, in your terminal
demo: install
	@exec $(BIN)/heed demo

## make test      every check: lint, format, types, import rules, all tests
test: $(VENV)/.installed-dev
	@sh requirements/install-services.sh
	@$(MAKE) --no-print-directory check

## make check     the same without setting up
check: lint
	$(BIN)/pytest -q -n 2 --dist worksteal

## make lint      lint, format check, types and import rules
lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

## make format    rewrite the code in its one format
format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## make soak      the tests that take minutes, and examples that no run has tried yet
soak: $(VENV)/.installed-dev
	$(BIN)/pytest -q -m "soak or hypothesis" --hypothesis-profile exploring --timeout 3600

## make bench     measure the speed and the accuracy, printed as tables
bench: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks

## make lock      pin the newest versions of the libraries, with their hashes
lock: $(VENV)/.installed-dev
	cd requirements && for list in base dev; do \
	  ../$(BIN)/uv pip compile --quiet --universal --upgrade --python-version 3.11 --generate-hashes --no-header \
	    $$list.in --output-file $$list.txt || exit 1; done

## make clean     forget the environment and all caches, but not ./data
clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis *.egg-info build dist

$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" sh requirements/make-environment.sh $(VENV)

$(VENV)/.installed: requirements/base.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing the libraries of requirements/base.txt into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/base.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt $(VENV)/.installed
	@echo "Installing the tools of requirements/dev.txt into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@# Python 3.11.2, Debian's, may fail while pytest first prepares its plugins (python/cpython#106905): let it be here.
	@$(BIN)/pytest --version >/dev/null 2>&1 || true
	@touch $@
