# Every target sets up what it needs: a virtual environment from the lock files, nothing else.
PYTHON ?= python3
BIN := .venv/bin
# What a sync needs, which is what the image has; and what a developer needs beside it.
LOCKS := requirements.lock requirements-dev.lock

.PHONY: setup demo up lint unit integration test drills bench compare growth load soak lock
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

test: lint unit integration

# No server. Four at a time: most of it waits for seconds of the rate limit.
unit: setup
	$(BIN)/python -m pytest tests/unit --numprocesses=4

# Two at a time: half of it is waiting. Each has a Prefect server and a Postgres of its own.
integration: setup
	$(BIN)/python -m pytest tests/integration --numprocesses=2 --dist=worksteal

# What needs root or a Debian package: all of it as root on Debian, in a container with the
# capabilities SYS_ADMIN and NET_ADMIN. It ends with what could not run here, and why.
drills: setup
	$(BIN)/python -m pytest tests/drills -rs --no-fold-skipped

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: setup
	$(BIN)/python -m tests.benchmarks.full_sync $(if $(SMALL),--contacts 5000 --deals 4000 --windows sliding fixed) $(ARGUMENTS)

# Beside other tools, each from the registry into an environment of its own.
compare: setup
	$(BIN)/python -m tests.benchmarks.compare $(ARGUMENTS)

growth: setup
	$(BIN)/python -m tests.benchmarks.growth $(ARGUMENTS)

load: setup
	$(BIN)/python -m tests.benchmarks.load

soak: setup
	$(BIN)/python -m tests.benchmarks.soak $(ARGUMENTS)

# Resolve anew; uv comes from the registry only for this.
COMPILE := .venv-lock/bin/uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-header --quiet
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	rm -r .venv-lock
