# Two commands do all on a machine that has Python 3.11+ and make: `make demo` and `make test`.
# Everything goes into .venv; another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
VERSION := -c 'import sys; print(sys.version_info[:3])'

OLDEST := .venv-oldest
OLDEST_TESTS ?= tests/test_extras.py tests/model tests/console/test_fields.py tests/console/test_prompts.py \
  tests/console/test_response.py tests/cli/test_run.py tests/cli/test_health.py tests/storage/test_sqlite_lifetime.py \
  tests/storage/test_sqlite_failures.py tests/postgres/test_together.py tests/server/test_runs.py tests/client/test_runs.py

# A venv of another version than a PYTHON that was named on the command line is made anew; one of the same is kept.
ifneq ($(origin PYTHON),file)
OLD := $(shell $(BIN)/python $(VERSION) 2>/dev/null)
ifneq ($(OLD),)
ifneq ($(OLD),$(shell $(PYTHON) $(VERSION) 2>/dev/null))
CLEAR := --clear
.PHONY: $(VENV)/.made
endif
endif
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo browser test oldest format lint types faults simulate simulate-all mermaid check bench bench-peers bench-report bench-toy docs clean

help:  ## Show this list
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

setup: $(VENV)/.dev  ## Make .venv with the package and the tools for its development

demo: $(VENV)/.package  ## Survey the installed standard library: streamed live, stored in SQLite, read back
	@$(BIN)/python examples/stdlib_survey.py

# The order is from the fastest to the slowest, and pytest's closing line comes last, also under make -j.
test: lint types docs browser  ## Check format, lint, types and documentation, then run all tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

# Not with agui and mcp: which pydantic, Starlette and PyJWT these need is for their own packages to say. Old packages use
# what newer ones have deprecated.
oldest: $(OLDEST)/.made  ## Run a part of the tests with the oldest versions of everything that pyproject.toml allows
	$(OLDEST)/bin/python -m pytest -W ignore::DeprecationWarning -p no:cacheprovider $(OLDEST_TESTS)

browser:  ## Install Chromium for the tests of the inspector, or say what to install
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "installing chromium"; apt-get -qq update && \
	  DEBIAN_FRONTEND=noninteractive apt-get -qq install --yes --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else \
	  echo "the tests of the inspector need a browser: install the package chromium (sudo apt-get install chromium)" >&2; \
	  exit 1; \
	fi

format: $(VENV)/.dev  ## Rewrite the code as the format check wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(VENV)/.dev  ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(VENV)/.dev  ## Check types with mypy --strict and pyright
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

faults: $(VENV)/.dev  ## Run only the tests that kill processes and take their runs over; longer: ROUNDS=20 SEED=7
	WORKFLOW_RUNTIME_FAULT_ROUNDS=$(or $(ROUNDS),1) WORKFLOW_RUNTIME_FAULT_SEED=$(or $(SEED),1) $(BIN)/python -m pytest tests/faults

simulate: $(VENV)/.dev  ## Play simulated failures from seeds: SEED=1 COUNT=100 PROFILE=all; what breaks a rule is made small
	$(BIN)/python -m tests.simulation seeds --seed $(or $(SEED),1) --count $(or $(COUNT),100) --profile $(or $(PROFILE),suite)

simulate-all: $(VENV)/.dev  ## The same, 2,000 seeds of each profile
	$(BIN)/python -m tests.simulation seeds --seed $(or $(SEED),1) --count 2000

mermaid: $(VENV)/.dev  ## Let the real Mermaid parser read pictures of 500 random workflows (needs npm)
	$(BIN)/python tests/view/check_mermaid.py

check:  ## Run what CI runs, in a clean clone of the last commit
	@clone=$$(mktemp -d) && trap 'rm -rf "$$clone"' EXIT && git clone --quiet . "$$clone" && bash "$$clone/.ci/run"

bench: $(VENV)/.dev  ## Measure this library against the limit of asyncio; tables in bench-results/
	$(BIN)/python -m benchmarks

bench-peers: $(VENV)/.dev  ## The same against other libraries, each installed into an environment of its own in .bench/
	$(BIN)/python -m benchmarks --against all

bench-report: $(VENV)/.dev  ## The same in 3 rounds, kept in benchmarks/results/; rewrites the tables and charts of docs/performance.md
	$(BIN)/python -m benchmarks --against all --rounds 3 --out benchmarks/results --page docs/performance.md

bench-toy: $(VENV)/.dev  ## Whether every case of every library still works, in minutes; the figures mean nothing
	$(BIN)/python -m benchmarks --against all --rounds 1 --toy

docs: $(VENV)/.docs  ## Build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

clean:  ## Delete .venv and everything else that the other targets made
	rm -rf $(VENV) $(OLDEST) site dist bench-results screenshots .simulation .bench .agents .mypy_cache .ruff_cache .pytest_cache .hypothesis stdlib_survey.db*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# What the targets above install, once; pyproject.toml says what that is.

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed and $(PYTHON) is not; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) came without venv; install it (Debian and Ubuntu: the package python3-venv)" >&2; exit 1; }
	@echo "making $(VENV) with $(PYTHON)"
	@$(PYTHON) -m venv $(CLEAR) $(VENV)
	@$(PIP) install --quiet --upgrade 'pip>=25.1'  # older ones do not know --group
	@touch $@

$(VENV)/.package: $(VENV)/.made pyproject.toml
	@echo "installing the package into $(VENV)"
	@$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.package
	@echo "installing what its development needs into $(VENV)"
	@$(PIP) install --quiet --editable '.[all]' --group dev
	@touch $@

$(OLDEST)/.made: pyproject.toml tests/oldest.py
	@echo "making $(OLDEST) with the oldest versions that pyproject.toml allows"
	@$(PYTHON) -m venv --clear $(OLDEST)
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet --upgrade 'pip>=25.1'
	@$(OLDEST)/bin/python tests/oldest.py > $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check install --quiet --constraint $(OLDEST)/constraints.txt \
	  --editable '.[cel,cli,client,console,otel,postgres,schedule,server,uvloop]' --group basic
	@touch $@

$(VENV)/.docs: $(VENV)/.dev
	@echo "installing the documentation's builder into $(VENV)"
	@$(PIP) install --quiet --group docs
	@touch $@
