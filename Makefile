# Every command a developer needs. `make` alone lists them.
# Each target does its own set-up in .venv, so a fresh clone needs only make and a Python 3.10-3.13.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Override any of these on the command line: make setup PYTHON=python3.12
PYTHON ?=
SIZE ?= lesson
NAME ?= first_light
SEEDS ?=
RECORD ?=
REDO ?=

TORCH := torch==2.13.0
TORCH_CPU_INDEX := https://download.pytorch.org/whl/cpu

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONE_CORE := $(if $(filter Linux,$(shell uname -s)),--cores 1)
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

# Prints the first interpreter on this machine that the package supports; nothing if there is none.
# Each candidate is run, because a name on the PATH may be a shim for a version that is not there.
define find_python
for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.10 python; do \
  if "$$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; \
  then echo "$$candidate"; break; fi; \
done
endef

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(READY) ## make .venv with everything in it (the other commands do this by themselves)
	@echo "Ready: $$($(BIN)/python --version) in $(VENV)."

# The stamp is written last: an interrupted set-up is done again, a finished one costs nothing.
$(READY): requirements.lock pyproject.toml
	@python="$$($(find_python))"; \
	if [ -z "$$python" ]; then \
	  echo "dreamgym_nb needs Python 3.10, 3.11, 3.12 or 3.13, and none was found on the PATH." \
	    "Install one, or name it: make setup PYTHON=/path/to/python3.12" >&2; exit 1; \
	fi; \
	if [ -n "$(PYTHON)" ] && [ "$$python" != "$(PYTHON)" ]; then \
	  echo "PYTHON=$(PYTHON) does not run, or is not a Python 3.10-3.13: name another one." >&2; exit 1; \
	fi; \
	if ! $(BIN)/python -c 'import pip, sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null; then \
	  echo "Making $(VENV) with $$("$$python" --version)."; \
	  rm -rf $(VENV); \
	  if ! "$$python" -m venv $(VENV); then \
	    rm -rf $(VENV); \
	    echo "$$python cannot make a virtual environment: install its venv module (on Debian and" \
	      "Ubuntu the package python3-venv), then run the same command again." >&2; exit 1; \
	  fi; \
	fi
	@if $(BIN)/python -m pip freeze | grep -qE '^$(TORCH)(\+|$$)'; then \
	  echo "$(TORCH) is already here."; \
	elif [ "$$(uname -s)" = Linux ] && $(PIP) install --no-deps --timeout 15 --retries 0 \
	    --index-url $(TORCH_CPU_INDEX) $(TORCH) 2>/dev/null; then \
	  echo "Installed the CPU build of $(TORCH)."; \
	else \
	  echo "Installing $(TORCH) from the default package index: no CPU build was found at" \
	    "$(TORCH_CPU_INDEX), or this is not Linux."; \
	  $(PIP) install $(TORCH); \
	fi
	@echo "Installing the versions in requirements.lock (a minute or two)."
	@$(PIP) install --no-deps --requirement requirements.lock
	@$(PIP) install --no-deps --editable .
	@touch $(READY)

.PHONY: course
course: $(READY) ## run every lesson and write pages to read; RECORD=1 keeps outputs and costs
	@$(BIN)/dreamgym run $(NOTEBOOKS) --size $(SIZE) $(if $(RECORD),--keep --record) && ran=0 || ran=$$?; \
	  $(BIN)/dreamgym site; exit $$ran

# 2 GB and one core are what Binder gives; JupyterLab's server takes some 130 MB of it.
.PHONY: frugal
frugal: $(READY) ## run every lesson offline, on one core, within the memory of Binder
	@$(BIN)/dreamgym run $(NOTEBOOKS) --size $(SIZE) --offline $(ONE_CORE) --memory 1850 \
	  --out build/frugal/notebooks

.PHONY: site
site: $(READY) ## write the lessons as pages to read offline into build/site
	@$(BIN)/dreamgym site

.PHONY: warm
warm: $(READY) ## train beforehand what lessons would train at their first run
	@$(BIN)/dreamgym warm

.PHONY: doors
doors: $(READY) ## write again what is generated: badges, first cells, tables, pictures
	@$(BIN)/python -m dreamgym_nb.course.doors

.PHONY: test
test: $(READY) ## check the style and run all tests, every lesson at smoke size included
	@$(BIN)/ruff check .
	@$(BIN)/python -m pytest

.PHONY: lab
lab: $(READY) ## open the lessons in JupyterLab
	@$(BIN)/jupyter lab --notebook-dir=. $(firstword $(NOTEBOOKS))

.PHONY: results
results: $(READY) ## reproduce recorded results: make results NAME=first_light SEEDS=0 REDO=1
	@$(BIN)/dreamgym results $(NAME) $(if $(SEEDS),--seeds $(SEEDS)) $(if $(REDO),--redo)

.PHONY: lock
lock: $(READY) ## resolve requirements.lock again from pyproject.toml, newest versions
	@$(PIP) install uv
	@$(BIN)/python -m uv pip compile pyproject.toml --all-extras --universal --upgrade \
	  --python-version 3.10 --no-header --no-annotate --no-emit-index-url --quiet \
	  --constraint <(echo "$(TORCH)") --output-file $(VENV)/resolved.txt
	@{ echo "# The reproducible install: one set of versions for Python 3.10 to 3.13."; \
	  echo "# Made by \`make lock\` from pyproject.toml; do not edit by hand."; \
	  echo "# Installed with --no-deps, after torch in its CPU build: so without CUDA packages."; \
	  grep -vE '^(nvidia-|cuda-|triton)' $(VENV)/resolved.txt; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

.PHONY: format
format: $(READY) ## format the Python files and mend what ruff can mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format dreamgym_nb tests

.PHONY: clean
clean: ## remove .venv, build and caches (never results)
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
