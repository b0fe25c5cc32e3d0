# Every target first makes a virtual environment from the lock files.
PYTHON ?= python3
BIN := .venv/bin
# For syncs (and the image), and for development.
LOCKS := requirements.lock requirements-dev.lock

.PHONY: setup demo up help clean lint unit integration test drills bench compare growth freshness load verification soak lock
setup: .venv/.installed

.venv/.installed: $(LOCKS) pyproject.toml
	@echo 'Installing acsync and its tools into .venv (about a minute) ...'
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "acsync needs Python 3.11 to 3.13; name one with: make PYTHON=python3.12")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --no-deps --require-hashes $(LOCKS:%=-r %)
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m pip check --quiet
	@touch $@
	@echo 'Installed. Next: make demo. All commands: make help'

demo: setup
	@$(BIN)/acsync demo $(ARGUMENTS)

up: setup
	@$(BIN)/acsync up $(ARGUMENTS)

help:
	@echo 'make setup        install into .venv'
	@echo 'make demo         copy a simulated account and show the copy'
	@echo 'make up           run everything on this machine until Ctrl-C'
	@echo 'make test         lint, unit and integration tests; make drills: the rest, as root'
	@echo 'make clean        delete .venv and the caches; copies of accounts stay'
	@echo 'Options of demo and up: make up ARGUMENTS="--port 4300 --web-port 8001"'

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis dist

test: lint unit integration

# No servers but the simulator.
unit: setup
	$(BIN)/python -m pytest tests/unit --numprocesses=2

# Two processes, each with its own Prefect server and Postgres, because half the time is waiting.
integration: setup
	$(BIN)/python -m pytest tests/integration --numprocesses=2 --dist=worksteal

# Tests that need root, Debian packages or dbt. To run all of them, be root on Debian, in a
# container with --privileged. The summary says what was skipped, and why. Two processes, because
# most of the time is waiting; each file stays in one, since its drills share an image or a stack.
drills: setup
	$(BIN)/python -m pytest tests/drills -rs --no-fold-skipped --numprocesses=2 --dist=loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: setup
	$(BIN)/python -m tests.benchmarks.full_sync $(if $(SMALL),--contacts 5000 --deals 4000 --windows sliding fixed) $(ARGUMENTS)

# Compare with other tools, each installed into its own environment.
compare: setup
	$(BIN)/python -m tests.benchmarks.compare $(ARGUMENTS)

growth: setup
	$(BIN)/python -m tests.benchmarks.growth $(ARGUMENTS)

freshness: setup
	$(BIN)/python -m tests.benchmarks.freshness $(ARGUMENTS)

load: setup
	$(BIN)/python -m tests.benchmarks.load

verification: setup
	$(BIN)/python -m tests.benchmarks.verification $(ARGUMENTS)

soak: setup
	$(BIN)/python -m tests.benchmarks.soak $(ARGUMENTS)

# Update the lock files. uv is installed only for this.
COMPILE := .venv-lock/bin/uv pip compile --universal --python-version 3.11 --upgrade --generate-hashes --no-header --quiet
lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) --group dev --constraint requirements.lock --output-file requirements-dev.lock
	$(COMPILE) --group build --constraint requirements-dev.lock --output-file requirements-build.lock
	rm -r .venv-lock
