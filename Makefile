# Every target sets up what it needs: a virtual environment from the lock files, nothing else.
PYTHON ?= python3
BIN := .venv/bin
# What a sync needs, which is what the image has; and what a developer needs beside it.
LOCKS := requirements.lock requirements-dev.lock

.PHONY: setup demo up test hosts lint bench soak lock
setup: .venv/.installed

.venv/.installed: $(LOCKS) pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "acsync needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes $(LOCKS:%=-r %)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check --quiet
	touch $@

demo: setup
	$(BIN)/acsync demo

up: setup
	$(BIN)/acsync up

# Two at a time: half of the suite is waiting. Each has a Prefect server and a Postgres of its own.
test: setup lint
	$(BIN)/python -m pytest --numprocesses=2 --dist=worksteal

# The drill of two hosts, which needs root on Linux and in a container SYS_ADMIN and NET_ADMIN.
hosts: setup
	$(BIN)/python -m pytest -m hosts

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m tests.bench

soak: setup
	$(BIN)/python -m tests.soak

# Resolve anew; uv comes from the registry only for this.
COMPILE := .venv-lock/bin/uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-header --quiet
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	rm -r .venv-lock
