# Every target sets up what it needs: a virtual environment from the lock file, nothing else.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint bench soak lock
setup: .venv/.installed

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "acsync needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check --quiet
	touch $@

demo: setup
	$(BIN)/acsync demo

test: setup lint
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m tests.bench

soak: setup
	$(BIN)/python -m tests.soak

# Resolve anew; uv comes from the registry only for this.
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-header --quiet --output-file requirements.lock
	rm -r .venv-lock
