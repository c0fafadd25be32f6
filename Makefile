# `make study` and `make test` set up everything they need; nothing has to be run before.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: study test pytest faults lint format bench clean help

help:  ## show the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: $(PYTHON) is older than 3.11; say make PYTHON=python3.11" >&2; exit 2; }
	@echo "installing into $(VENV): a minute or more, by the network"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

study: $(READY)  ## set up, and run a small real study on the embedded synthetic data
	$(BIN)/python -m study.run --space search_spaces/demo.yaml

test: $(READY)  ## set up, and run the linters and all tests (data sets: REFINEVAD_DATA=folder)
	$(MAKE) --no-print-directory -j 2 lint pytest

pytest: $(READY)  ## run all tests but the slow ones, three at once
	$(BIN)/python -m pytest -n 3 --dist loadgroup

faults: $(READY)  ## kill, corrupt and fill everything a study stands on; writes benchmarks/results/faults.md
	TEST_BACKEND=ray $(BIN)/python -m pytest tests/faults -m "slow or not slow" \
		--faults-table benchmarks/results/faults.md

lint: $(READY)  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff rewrite the source
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)  ## run the benchmarks; figures go to benchmarks/results and benchmarks/README.md
	for script in benchmarks/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done
	$(BIN)/python benchmarks/report.py

clean:  ## remove what was made here: environment, studies, packed data, tracking database
	rm -rf $(VENV) runs stores mlruns mlartifacts mlflow.db*
