# make setup   a virtual environment with everything the project needs
# make demo    the whole zoo: derived, checked, emitted; two systems trained
# make test    everything that must hold
# make lint, make fast: parts of it
# make attack  10,000 bad inputs, then 100,000 (derivation, world) pairs and claims; ends with counts (a quarter of an hour)
# make mutants the mathematics with one mistake at a time: which test notices; ends with counts
# make docs    the documentation, as pages in build/docs
# make house   the house in numbers: what is to be zero is zero
# make coverage  the core layers' lines that tests reach: at least 98 %
# make matrix  the tests on every interpreter here, and on the oldest dependencies
# make dist    a release, tried: built, checked, installed into a clean environment, used

PYTHON ?= python3
WORKERS ?= 2

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
DEMO := build/demo
ZOO := $(sort $(basename $(notdir $(wildcard ibsym/zoo/*.toml))))

.PHONY: help setup demo test lint fast attack mutants house coverage matrix dist docs

help:
	@sed -n '1,/^$$/s/^# //p' $(firstword $(MAKEFILE_LIST))

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Both forms of every derivation: ten systems a process, most of whose time would be its start.
define DERIVE
import sys
from ibsym.cli import cli
for name in sys.argv[1:]:
    for form, ending in (("html", "html"), ("latex --standalone", "tex")):
        written = f"$(DEMO)/derivations/{name}.{ending}"
        cli.main(["derive", name, "--format", *form.split(), "-o", written], standalone_mode=False)
endef
export DERIVE

demo: setup
	rm -rf $(DEMO)
	mkdir -p $(DEMO)/derivations $(DEMO)/generated
	$(BIN)/ibsym derive vib
	printf '%s\n' $(ZOO) | xargs -P $(WORKERS) -n 10 $(BIN)/python -c "$$DERIVE"
	printf '%s\n' $(ZOO) | OMP_NUM_THREADS=1 xargs -P $(WORKERS) -n 10 $(BIN)/ibsym check
	$(BIN)/ibsym generate --all -o $(DEMO)/generated
	$(BIN)/ibsym train vib --data digits -o $(DEMO)/vib
	$(BIN)/ibsym train bib-ae --data digits -o $(DEMO)/bib-ae
	@printf '\n%s\n' 'Done. Look at:'
	@printf '  %-28s %s\n' \
	  '$(DEMO)/derivations/' 'every derivation, as a page (.html) and as a document (.tex)' \
	  '$(DEMO)/generated/' 'every emitted loss, with its formulas' \
	  '$(DEMO)/vib/' 'a trained information bottleneck: metrics, plot, checkpoint' \
	  '$(DEMO)/bib-ae/' 'a trained bounded autoencoder: metrics, plot, checkpoint'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typos

# One thread per worker: two workers with two threads each would fight over two cores.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS)

fast: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -m 'not slow'

PAIRS ?= 100000
INPUTS ?= 10000

attack: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.fuzz.run --count $(INPUTS)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.attack.run --pairs $(PAIRS) --workers $(WORKERS)

mutants: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.mutants.run --workers $(WORKERS)

# The core by the tests of its own, and those of what is accepted and refused; the rest are about emitted code and training. The floor is
# in pyproject.toml.
CORE := $(addprefix tests/,spec terms rules proving derivation checking rendering diagnosis lowering families fuzz) \
        $(wildcard tests/test_cli*.py) tests/test_api.py tests/codegen/test_accepted.py tests/estimators/test_players.py ibsym

coverage: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) -m 'not slow' $(CORE) --cov --cov-report=term

matrix: setup
	$(BIN)/python -m tests.matrix

dist: setup
	$(BIN)/python -m tests.dist

house: setup
	$(BIN)/python -m tests.house

# Warnings are errors; a key, family, estimator, command or function without a page is one, too.
docs: setup
	$(BIN)/python -m sphinx -q -E -W --keep-going -b html docs build/docs
	@echo 'Look at build/docs/index.html'
