# `make demo` and `make test` work on a fresh clone with Python 3.11+ and make alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BENCH_READY := $(VENV)/.bench-ready
TEST_FOLDERS = $(sort $(dir $(shell find tests -name '*.py')))

.PHONY: setup demo test coverage explore campaign bench bench-limits bench-machinery check format clean

setup: $(READY)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "bulkipacl needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: $(READY)
	$(BIN)/bulkipacl demo

# The byte code is made first, because the processes that the tests start and kill write none.
test: $(READY)
	$(BIN)/python -m compileall -q bulkipacl
	$(BIN)/python -m pytest -n 2 --dist worksteal

# How much the tests reach without a process: a floor under lines and branches, in pyproject.toml.
coverage: $(READY)
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 --dist worksteal --ignore tests/e2e
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

# The property tests with new examples each time; a run of the tests draws the same ones.
explore: $(READY)
	HYPOTHESIS_PROFILE=explore $(BIN)/python -m pytest -n 2 --timeout 1800 tests/property

# Faults by the hundred thousand, and 300 times kill -9: about 20 minutes.
campaign: $(READY)
	$(BIN)/python benchmarks/campaign.py --vendor

# `apply` beside its peers, over plain HTTP and TLS: about 15 minutes. They are installed for it alone.
bench: $(BENCH_READY)
	$(BIN)/python benchmarks/bench.py

$(BENCH_READY): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@touch $@

# How near to hidden limits our governor and others keep: about 5 minutes.
bench-limits: $(READY)
	$(BIN)/python benchmarks/limits.py

# What a row costs apart from the wire, by phase: about 10 minutes.
bench-machinery: $(READY)
	$(BIN)/python benchmarks/machinery.py

# mypy takes one folder of tests at a time, because each may have a conftest.py of its own.
check: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	@for folder in $(TEST_FOLDERS); do \
		echo "mypy --strict $$folder"; \
		MYPYPATH=$$folder $(BIN)/mypy --strict --no-error-summary $$folder*.py || exit 1; done
	MYPYPATH=benchmarks:tests/integration $(BIN)/mypy --strict --no-error-summary benchmarks/*.py
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
