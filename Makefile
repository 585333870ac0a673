# `make repro`: everything from nothing to the report. `make test`: the tests. `make check`: what CI checks first.
PYTHON ?= python3
BIN := .venv/bin
# an activated environment for recipes: dvc starts `python pipeline/...`
export PATH := $(CURDIR)/$(BIN):$(PATH)
export PYTHONDONTWRITEBYTECODE :=
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
# a pytest worker a core; tests/conftest.py says what must not run side by side
SIDE_BY_SIDE := -n logical

.DEFAULT_GOAL := help
.PHONY: help env repro ui test long check bench cluster cluster-stop lock clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 20

env:  ## make .venv from requirements.lock
	@$(PYTHON) infra/install.py

repro: env  ## the main job: dvc repro of params.yaml, from rendering to the report
	@test -f params.yaml || mien preset demo
	@mien doctor --brief
	@mien repro

ui: env  ## the MLflow UI over the runs of this checkout
	mien ui

test: env  ## every test but the long ones
	python -m pytest $(SIDE_BY_SIDE) -m "not long"

long: env  ## the long tests, one after another: nodes and servers, faults, a killed search, retraining (needs postgresql)
	python -m pytest -n 0 -m long

check: env  ## ruff, mypy, import-linter and the quick tests
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	python -m pytest $(SIDE_BY_SIDE) -m "not slow"

bench: env  ## the figures of the README's speed table
	python bench/all.py

cluster: env  ## PostgreSQL, an S3 server, MLflow and three Ray nodes on this machine (needs postgresql)
	@python -m infra.local up

cluster-stop:  ## end them; their runs and models go with them
	@python -m infra.local down

lock:  ## requirements.in -> requirements.lock (needs uv)
	uv pip compile requirements.in --override overrides.txt --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --python-version 3.11 --upgrade -o requirements.lock

clean:  ## remove what the stages made (the environment stays)
	rm -rf data runs results reports registered storage
