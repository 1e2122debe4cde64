# Gatefold's daily commands. `make up` and `make test` work on a fresh Debian 12 with python3, make and python3-venv.
PYTHON ?= python3
VENV ?= .venv
HOME_DIR ?= gatefold-home
BIN = $(VENV)/bin
# Tests leave the last line to pytest: CI reads it.
PYTEST = $(BIN)/python -m pytest

.PHONY: up test model check bench scale kernel fuzz fix clean

# Set up once with defaults, later upgrade if this checkout is newer, then serve in the foreground until Ctrl-C.
up: $(VENV)/.installed
	@if test -e $(HOME_DIR)/gatefold.toml; then $(BIN)/gatefold upgrade --home $(HOME_DIR); \
	else $(BIN)/gatefold setup --defaults --home $(HOME_DIR); fi
	@exec $(BIN)/gatefold serve --home $(HOME_DIR)

# Install what the tests need, and run them all.
test: $(VENV)/.installed-dev $(VENV)/clients/.installed
	@./packaging/install-test-packages
	@$(PYTEST) -q tests

# The models alone and for longer: make model EXAMPLES=5000; SEED=… repeats a run.
EXAMPLES ?= 500
model: $(VENV)/.installed-dev
	@seed=$${SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; echo "seed $$seed"; \
	GATEFOLD_MODEL_EXAMPLES=$(EXAMPLES) $(PYTEST) -q --hypothesis-seed=$$seed tests/model tests/concurrency

# Style, types, layers and unit tests: well under a minute; what a commit must pass.
check: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(PYTEST) -q tests/unit

# Measure, each figure beside its limit in the same run; results lie in bench-results/.
bench: $(VENV)/.installed-dev
	@$(BIN)/python -m benchmarks

# The tests of large scale at their full size: a million entries, some minutes.
scale: $(VENV)/.installed-dev
	@$(PYTEST) -q -m scale tests/scale

# Fuzz every decoder for so many seconds each, guided by coverage (tests/fuzz/README.md): make fuzz TARGETS=nfs-record
SECONDS ?= 60
fuzz: $(VENV)/.installed-fuzz
	@$(BIN)/python tests/fuzz/fuzz_run.py --seconds $(SECONDS) $(TARGETS)

# The kernel's NFS client at its full work, the gateway left alone and killed: about an hour on two cores.
kernel: $(VENV)/.installed-dev
	@./packaging/install-test-packages
	@$(PYTEST) -q -m kernel --durations=0 --durations-min=1 tests/conformance/kernel

fix: $(VENV)/.installed-dev
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .fuzz

$(VENV)/bin/python:
	@$(PYTHON) -m venv $(VENV)

# The S3 client that cannot share an environment with the others.
$(VENV)/clients/.installed: tests/clients/requirements.txt | $(VENV)/bin/python
	@$(PYTHON) -m venv $(VENV)/clients
	@$(VENV)/clients/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# Editable: the checkout is what runs.
$(VENV)/.installed: setup.py pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[postgres]'
	@touch $@

$(VENV)/.installed-dev: setup.py pyproject.toml | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[postgres,test,check]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-fuzz: $(VENV)/.installed-dev
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[fuzz]'
	@touch $@
