# SPDX-License-Identifier: BSD-3-Clause
# `make` alone lists the targets. All need only Python >= 3.11 and make; the rest they install into .venv.

PYTHON3 ?= python3
VENV := .venv
BIN := $(VENV)/bin
SETUP := $(VENV)/.setup-done
LOCKS := requirements.txt services/_sdk/requirements.txt orchestrator/requirements.txt
NETWORK ?= stardist2d
SCHEDULES ?= 100000
SPREAD := --numprocesses auto --maxprocesses 4
STUBS := proto/dl4mic/v1
SOURCES := proto services/_sdk orchestrator helm tests $(filter-out services/_sdk,$(patsubst %/,%,$(wildcard services/*/)))

.DEFAULT_GOAL := help

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

setup: $(SETUP) ## make .venv with the orchestrator, the SDK and the tools

$(SETUP): requirements.txt proto/pyproject.toml services/_sdk/pyproject.toml orchestrator/pyproject.toml
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it: make PYTHON3=/path/to/python3.12"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV) ..."; $(PYTHON3) -m venv $(VENV); }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$$(grep -oE '^uv==[0-9.]+' requirements.txt)"
	@echo "installing the locked packages into $(VENV) ..."
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e proto -e services/_sdk -e orchestrator
	@$(BIN)/python -m compileall -q $(VENV)/lib || true
	@touch $@

demo: $(SETUP) ## train NETWORK on its example, score it, segment a folder: make demo NETWORK=stardist2d
	@$(BIN)/python tests/demo.py $(NETWORK)

check: $(SETUP) ## lint, types, architecture, unit and contract tests: before every commit
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	cd proto && ../$(BIN)/buf lint
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SPREAD) --dist loadfile tests/architecture tests/unit tests/contract tests/images

test: $(SETUP) ## run every test
	$(BIN)/python tests/run_all.py

cluster-slow: $(SETUP) ## run the long scenarios on a cluster, which `make test` leaves out
	$(BIN)/python -m pytest --timeout 3600 -rP -m slow tests/cluster

schedules: $(SETUP) ## play faults in any order against the orchestrator's core: make schedules SCHEDULES=100000
	SCHEDULES=$(SCHEDULES) $(BIN)/python -m pytest $(SPREAD) tests/unit/orchestrator/test_schedules.py

bench: $(SETUP) ## measure NETWORK against its bare library; prints tables of ratios
	$(BIN)/python tests/bench/run.py $(NETWORK)

format: $(SETUP) ## bring the code into its form
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)
	cd proto && ../$(BIN)/buf format -w

stubs: $(SETUP) ## generate the stubs of the contract anew
	$(BIN)/python proto/generate.py

chart: $(SETUP) ## write the chart's list of services and its dashboards anew
	$(BIN)/python helm/generate.py

lock: $(SETUP) ## resolve every lock anew
	$(BIN)/python tests/lock.py

images: $(SETUP) ## build the images that this machine can: make images IMAGES=dl4mic-NAME IMAGE_FLAGS=--gpu
	$(BIN)/python helm/images/build.py $(IMAGES) $(IMAGE_FLAGS)

lock-images: $(SETUP) ## write the digests of the base images, from their registry
	$(BIN)/python helm/images/bases.py

clean: ## delete .venv and all that was built
	rm -rf $(VENV) build demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help setup demo check test cluster-slow schedules bench format stubs chart lock images lock-images clean
