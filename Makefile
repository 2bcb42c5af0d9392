# Govern's own commands. `make` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Compiled bytecode is kept: without it every process that imports torch compiles it again, seconds each time.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.setup-stamp
WORKERS ?= 2
UV_SYNC_FLAGS ?= --require-hashes
PACKAGES := lineage trainers audits reports governance
CODE := $(PACKAGES) tests benchmarks examples docs

.PHONY: help setup demo test test-all lint fmt docs pictures bench bench-lineage bench-erasure golden dev build lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## create .venv and install everything from the locked files (PYTHON=python3.13 VENV=.venv-313 for another one)

$(STAMP): requirements/dev.lock requirements/bootstrap.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@grep -qsF "uv==$$($(BIN)/uv --version 2>/dev/null | cut -d' ' -f2) " requirements/bootstrap.lock || \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python $(UV_SYNC_FLAGS) requirements/dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## the whole river on a temporary home: train, audit, serve, erase, retrain, certify (GRAPH=neo4j: on a Neo4j it starts)
ifeq ($(GRAPH),neo4j)
	$(BIN)/python deploy/neo4j/start.py -- $(BIN)/govern demo --graph {uri} $(ARGS)
else
	$(BIN)/govern demo $(ARGS)
endif

test: setup ## the tests of every commit, under ten minutes on two cores
	$(BIN)/pytest -m "not slow" --hypothesis-profile commit -n $(WORKERS) --durations 20 --durations-min 5 $(ARGS)

test-all: setup ## every test, the long campaigns too
	$(BIN)/pytest -n $(WORKERS) $(ARGS)

lint: setup ## formatting, style, types, imports, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/codespell $(wildcard $(CODE) *.md Makefile Dockerfile docker-compose.yml deploy requirements)

fmt: setup ## format and repair what can be repaired
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

docs: setup ## build the documentation strictly and run its examples
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	$(BIN)/pytest --doctest-modules $(PACKAGES) -p no:randomly -q --ignore-glob='*/migrations/*'
	$(BIN)/pytest --doctest-glob='*.md' docs README.md -p no:randomly -q || test $$? -eq 5

pictures: setup ## make the pictures of the documentation anew, from a real erasure; some minutes (ARGS=--states: what the code alone makes)
	$(BIN)/python docs/pictures $(ARGS)

bench: setup ## measure, each figure beside a baseline of the same run
	$(BIN)/python -m benchmarks $(ARGS)

bench-lineage: setup ## every figure of the lineage engine on one page (ARGS="--size full --json FILE --svg FILE"; quick without)
	$(BIN)/python -m benchmarks.lineage_page $(ARGS)

bench-erasure: setup ## every figure of the erasure engine on one page (ARGS="--size full --json FILE"; quick without)
	$(BIN)/python -m benchmarks.erasure_page $(ARGS)

golden: setup ## rewrite the golden files and show what changed
	GOVERN_WRITE_GOLDEN=1 $(BIN)/pytest tests/golden -q -p no:randomly || true
	git --no-pager diff --stat -- tests

dev: setup ## a server on a home in the working tree, for trying things
	test -f .govern/govern.json || $(BIN)/govern init --home .govern
	$(BIN)/govern serve --home .govern --port 5000

build: setup ## the wheel and the source distribution
	$(BIN)/python -m hatchling build

lock: setup ## resolve the locked files again
	echo "uv" | $(BIN)/uv pip compile - --quiet --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11 \
		-o requirements/bootstrap.lock
	$(BIN)/uv pip compile pyproject.toml --group dev --quiet --universal --generate-hashes --no-emit-index-url --no-header \
		--python-version 3.11 -o requirements/dev.lock

clean: ## remove what was built, not the environment
	rm -rf dist build docs/_build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
