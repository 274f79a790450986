# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup demo check lint test soak clean

setup: $(READY)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14) and "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing requirements.lock into $(VENV) (a few minutes) ...'
	$(BIN)/pip install --disable-pip-version-check -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $(READY)

demo: $(READY)   ## the main job on the embedded source: scrape, preprocess, train, evaluate
	dvc repro
	gan summary

lint: $(READY)
	ruff format --check .
	ruff check .
	mypy
	python tests/support/check_words.py

# a file's tests stay in one process: they share servers and repositories; tests/conftest.py orders
# the files
PYTEST := OMP_NUM_THREADS=1 pytest -q -n 2 --dist loadfile --no-loadscope-reorder

check: lint      ## the quick part
	$(PYTEST) -m "not slow and not soak and not gpu"

test: lint       ## everything but the long runs
	$(PYTEST) -m "not soak and not gpu" --durations=15

soak: $(READY)   ## the long runs
	OMP_NUM_THREADS=1 pytest -q -m soak

clean:           ## caches of the tools; `gan clean` lists unfinished trainings
	rm -rf .mypy_cache .ruff_cache .pytest_cache dvc_plots
