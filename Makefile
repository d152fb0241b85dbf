# Two commands do everything on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: run test-quick test test-slow lint docs clean

run: $(INSTALLED)
	$(BIN)/parity run --frameworks sb3 rllib

# Files in the order of tests/conftest.py, the longest first.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# The inner loop: under two minutes on two cores.
test-quick: $(INSTALLED)
	$(PYTEST) -m quick

test: $(INSTALLED) lint
	$(PYTEST)

# Also what is outside of the package, with its own dependencies: the framework under examples/, and trackers.
test-slow: $(INSTALLED) lint
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[wandb,mlflow]" --editable examples/parity-torchrl
	$(PYTEST) -m "slow or not slow"

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What is generated from code (a test says when it is stale), and the site, into site/. Needs no network.
docs: $(INSTALLED)
	$(BIN)/python -m parity.results.summary > docs/summary.schema.json
	$(BIN)/python -m parity.ladder.findings > docs/rules.md
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info .pytest_cache .mypy_cache .ruff_cache
