# Every target does its own set-up: a virtual environment in .venv with what constraints.txt pins, made once.
#
#   make demo    two pictures from the shipped model, in ./out
#   make test    everything a change must pass
#   make lint    style, types, layers
#   make soak    the long tests
#   make clean   remove what these targets made

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint soak clean

PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt
JOBS ?= 2
# The pages are tested in a real browser where there is one (Debian: apt install chromium-headless-shell).
BROWSER := $(or $(shell command -v chromium-headless-shell),$(wildcard /usr/lib/chromium/chromium-headless-shell))

# Jobs are kept by a real PostgreSQL too, where there is one (Debian: apt install postgresql).
POSTGRES := $(or $(wildcard /usr/lib/postgresql/*/bin/postgres),$(shell command -v postgres))

help:
	@sed -n 's/^#   //p' Makefile

# The first Python that is new enough and can make a virtual environment; PYTHON=/path/to/python overrides.
$(VENV)/.made:
	@for python in $(PYTHON) python3.11 python3.12 python3.13 python3; do \
	    if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	        echo "making $(VENV) with $$("$$python" --version)"; \
	        rm -rf $(VENV); "$$python" -m venv $(VENV); touch $@; exit 0; \
	    fi; \
	done; \
	echo "No Python >= 3.11 with the modules venv and ensurepip was found. Install one (Debian: apt install python3" \
	    "python3-venv), or name it: make PYTHON=/path/to/python" >&2; \
	exit 1

# torch comes first and by its exact version: any other would bring gigabytes of CUDA along.
$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/.made
	@echo "installing what Tranh runs on (torch alone is about 200 MB; this is done once)"
	@$(INSTALL) torch==2.13.0
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "installing what its tests need"
	@$(INSTALL) -e '.[dev]'
	@touch $@

demo: $(VENV)/.runtime
	@mkdir -p out
	$(BIN)/tranh "a large red circle above a small blue square" -o out/english.png
	$(BIN)/tranh "một hình tròn đỏ lớn ở trên một hình vuông xanh dương nhỏ" -o out/vietnamese.png
	@echo "two pictures: $(CURDIR)/out/english.png and $(CURDIR)/out/vietnamese.png"

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy benchmarks
	$(BIN)/lint-imports --no-logo

test: lint
	$(if $(BROWSER),,@echo "no chromium-headless-shell is here: the tests of pages in a browser are LEFT OUT")
	$(if $(POSTGRES),,@echo "no PostgreSQL server is here: the tests of jobs kept by it are LEFT OUT")
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) \
	    -m "not soak$(if $(BROWSER),, and not browser)$(if $(POSTGRES),, and not postgres)"

soak: $(VENV)/.dev
	OMP_NUM_THREADS=1 HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -n $(JOBS) -m "soak or not soak" --timeout 3600

clean:
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
