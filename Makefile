# Every target prepares what it needs and skips what is already there, so a second run only runs.

PYTHON ?= $(firstword $(shell command -v python3.11 2>/dev/null) python3)
WITHOUT ?=
# One more than there are cores, as tests wait for servers and browsers a third of their time.
WORKERS ?= $(shell expr $$(nproc) + 1)
BIN := .venv/bin

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
# The targets share .venv.
.NOTPARALLEL:
.PHONY: help demo test test-env lint format docs lock clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo '  PYTHON=python3.12       the interpreter of a new .venv (make clean first if there is one)'
	@echo '  WITHOUT="mariadb ..."   leave out tests that need chromium, junit-schema, postgresql or mariadb'
	@echo '  WORKERS=N               how many processes run the tests of make test (one more than there are cores)'
	@echo '  ARGS="..."              further arguments for pytest in make test'

demo: ## Run the sample project's tests on SQLite, with xunit and coverage reports
	@tools/venv.sh base
	$(BIN)/python runtests.py --with-xunit --with-cov --keepdb --parallel

# Most modules have a run that all of their tests read: a file's tests are made by one worker, so that no other repeats it.
# Groups of xdist, which would part the other tests, have no effect with pytest 9.2 and xdist 3.8.
test: test-env ## Run the whole suite (PostgreSQL, MariaDB and Chromium come from apt if absent)
	$(BIN)/python -m pytest tests -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(addprefix --without=,$(WITHOUT)) $(ARGS)

test-env: ## Prepare all that make test needs, and run nothing
	@tools/venv.sh base test needle
	@tools/packages.sh $(filter-out $(WITHOUT),chromium postgresql mariadb)
ifeq ($(filter mariadb,$(WITHOUT)),)
	@tools/venv.sh mysql || echo 'mysqlclient could not be built: the MariaDB tests cannot run.'
endif

# The types of the plugins are checked against their hosts, which are requirements of the tests.
lint: ## Check format, lint, types and the layers of imports
	@tools/venv.sh base test lint
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: ## Format the code and mend what the linter can mend
	@tools/venv.sh base lint
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: ## Build the documentation in docs/_build, warnings being errors
	@tools/venv.sh base docs
	$(BIN)/python -m sphinx -W --keep-going -q docs docs/_build
	@echo 'The documentation is in docs/_build/index.html'

lock: ## Pin the newest allowed versions in requirements/*.txt
	@tools/venv.sh base
	@tools/lock.sh

clean: ## Remove .venv, caches, reports and built documentation
	rm -rf .venv .testkit reports build dist docs/_build *.egg-info .coverage .coverage.*
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
