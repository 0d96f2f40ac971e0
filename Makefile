# Two commands: "make conformance" sets up everything and runs the suite on the embedded default, "make test" sets up
# everything and runs the tests of the machinery. Variables, given as NAME=value after make:
#   ASSETS=DIR      folder of checkpoints and data sets of others
#   SELECT=EXPR     only questions whose markers match, as for pytest -m
#   WORKERS=N       processes of the accuracy phase (default: the number of processors)
#   RUN=DIR         run folder to create or to join (default: results/<utc>-<id>)
#   PYTEST_ARGS=... further options for both phases
#   PIP_ARGS=...    further options for pip, such as an index with CPU builds of torch
PYTHON ?= python3
PIP_ARGS ?=
WORKERS ?= $(shell getconf _NPROCESSORS_ONLN)
ifndef RUN
# Expanded once: both phases must join one folder.
RUN := $(CURDIR)/results/$(shell date -u +%Y%m%dT%H%M%SZ)-$(shell od -An -N3 -tx1 /dev/urandom | tr -d ' ')
endif
SELECT ?=
ASSETS ?=
PYTEST_ARGS ?=

VENV := .venv
PY := $(VENV)/bin/python

.PHONY: conformance test lint report clean .venv
.DEFAULT_GOAL := conformance

# "make .venv" makes the environment alone: when it is missing, or when what it is made from changed.
.venv: $(VENV)/complete

$(VENV)/complete: pyproject.toml constraints.txt
	@echo "== setting up $(VENV) (about 1.5 GB; this takes minutes the first time)"
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS) --upgrade pip
	$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt $(PIP_ARGS) . --group dev
	@rm -rf build *.egg-info
	@touch $@

conformance: $(VENV)/complete
	@PY="$(PY)" WORKERS="$(WORKERS)" SELECT="$(SELECT)" .ci/phases "$(RUN)" $(if $(ASSETS),--assets="$(ASSETS)") $(PYTEST_ARGS)

test: $(VENV)/complete
	@mkdir -p results
	$(PY) -m pytest tests -W error -p hypothesispytest -n $(WORKERS) --junitxml=results/tests.xml $(PYTEST_ARGS)
	@echo "report: results/tests.xml"

lint: $(VENV)/complete
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy --strict harness reports

report: $(VENV)/complete
	$(PY) -m reports render --html latest

# Results stay: they are the history.
clean:
	rm -rf $(VENV) .store .mypy_cache .ruff_cache .pytest_cache .hypothesis build *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
