# Everything a contributor runs. A fresh machine needs make and a Python >= 3.11 with pip and venv, nothing else:
# the demo and the tests bring their own Valkey. (`make lint` runs pyright, which needs node, and fetches one if none is there.)
#
#   PYTHON=python3.13   which interpreter makes .venv
#   ARGS="-k claim"     extra arguments for test-core, test-world, sim, mutants, chaos, soak, demo and bench

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=

BIN    := $(VENV)/bin
PY     := $(BIN)/python
PIP    := $(PY) -m pip --disable-pip-version-check
PYTEST := $(PY) -bb -m pytest -q
# Most of those tests wait for a server most of the time.
WORKERS ?= 3
STAMP  := $(VENV)/.installed
LOCK_VENV := .venv-lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-core test-world sim mutants chaos soak lint format bench lock clean
.NOTPARALLEL:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(STAMP) ## make .venv with the pinned dependencies and this project, editable

# Two steps, because pip refuses an editable project where hashes are asked for: first every pinned package (the build
# backend among them), each checked by its hash; then the project alone, built without fetching anything.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python >= 3.11 is needed, this is {sys.version.split()[0]}; try make PYTHON=python3.13")'
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q --require-hashes -r constraints.txt
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: $(STAMP) ## run the demo against an embedded Valkey
	$(BIN)/streamcore demo $(ARGS)

# Every test runs once. The core has its own run, because its gate is its own: tests/core alone has to take every branch
# of streamcore, whatever the other tests happen to touch. `make -k test` runs both parts even if the first fails.
test: test-core test-world ## all tests, and the coverage gate

test-core: $(STAMP) ## the tests of the core, which must cover 100 % of its branches
	$(PYTEST) tests/core --cov --cov-report=term-missing --cov-fail-under=100 $(ARGS)

test-world: $(STAMP) ## all other tests: properties, simulation, transports, real servers
	$(PYTEST) --ignore=tests/core --dist load --tx "$(WORKERS)*popen//python=$(PY) -bb" $(ARGS)

sim: $(STAMP) ## a thousand seeds of the simulator (ARGS="--seed 77 --trace" replays one)
	$(BIN)/streamcore sim --seeds 1000 --jobs 2 --at-least 250000 --each-at-least 100 $(ARGS)

mutants: $(STAMP) ## which seed of the simulator kills which mutant of the core
	$(PY) -bb -m tests.simulation.mutants $(ARGS)

chaos: $(STAMP) ## 500 kills on real servers, through the real transports and a faulty network, and the account of it
	$(PY) -bb -m tests.chaos --kills 500 $(ARGS)

soak: $(STAMP) ## ten minutes of workers, kills, trims and destroyed groups, and the account of it (ARGS="--minutes 2 --seed 7")
	$(PY) -bb -m tests.soak $(ARGS)

lint: $(STAMP) ## ruff, mypy, pyright and the architecture's contracts, all of them whatever fails
	@status=0; export PYRIGHT_PYTHON_IGNORE_WARNINGS=1; \
	for tool in "ruff check" "ruff format --check" mypy pyright "lint-imports --no-logo"; do \
		echo "$$tool"; $(BIN)/$$tool || status=1; \
	done; exit $$status

format: $(STAMP) ## apply ruff's fixes and its layout
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(STAMP) ## measure against peers and against the limit, and plot
	$(PY) -m benchmarks $(ARGS)

# With the oldest Python supported: newer ones only need fewer packages. No index address may get into the file.
lock: ## refresh constraints.txt: the newest versions, with hashes, for every extra
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "make lock needs Python 3.11: make lock PYTHON=python3.11")'
	$(PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/pip install -q --disable-pip-version-check 'pip-tools>=7.5,<8'
	$(LOCK_VENV)/bin/pip-compile -q --upgrade --all-extras --all-build-deps --allow-unsafe --strip-extras --generate-hashes \
		--no-annotate --no-header --no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host \
		--newline lf --output-file $(LOCK_VENV)/pins.txt pyproject.toml
	@! grep -nE '://|^--|@ ' $(LOCK_VENV)/pins.txt
	{ printf '%s\n' '# Every dependency of every extra, and the build backend, pinned with hashes. Written by `make lock`.' \
		'# Use: pip install --require-hashes -r constraints.txt && pip install --no-deps --no-build-isolation -e .'; \
		cat $(LOCK_VENV)/pins.txt; } > constraints.txt
	rm -rf $(LOCK_VENV)

clean: ## remove .venv and everything that tools have left behind
	rm -rf $(VENV) $(LOCK_VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find streamcore transports tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
