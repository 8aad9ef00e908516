# Everything runs in .venv. PYTHON only creates it.
PYTHON ?= python3
EXTRAS ?= dev
comma := ,
VENV := .venv
BIN := $(VENV)/bin
# Most tests wait for workers to start and for leases to end, so more of them than there are cores run at once.
TESTS_AT_ONCE ?= 4
STAMP := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))

.DEFAULT_GOAL := help
.PHONY: help demo test coverage chaos soak faults envelopes lint format bench bench-quick run-bench clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(STAMP) ## run a Redis server and a worker on this machine's cores, and send them a few thousand real texts
	@$(BIN)/python -m examples.demo

test: $(STAMP) ## run the tests against a real server, worker and model (EXTRAS=dev,prepare adds those of model preparation)
	@rm -rf build/coverage
	@$(BIN)/python $(if $(COVERAGE),-m coverage run) -m pytest -n $(TESTS_AT_ONCE) --dist loadfile $(PYTEST_ARGS)
	@$(if $(COVERAGE),$(BIN)/python -m coverage combine --quiet && $(BIN)/python -m coverage report)

coverage: ## test, and report branch coverage; EXTRAS=dev,prepare reaches the minimum below which it fails
	@$(MAKE) --no-print-directory test COVERAGE=1

chaos: $(STAMP) ## kill workers and processes under load, beside stock Celery, in under 5 minutes (CHAOS_ARGS, such as --seed)
	@$(BIN)/python -m benchmarks.chaos $(or $(CHAOS_ARGS),--contestant both)

soak: $(STAMP) ## let a worker answer for 15 minutes, and see whether memory, files, keys or connections grow (SOAK_ARGS)
	@$(BIN)/python -m benchmarks.chaos.soak $(SOAK_ARGS)

envelopes: $(STAMP) ## try 50,000 messages of any kind on the parent's code and 2,000 on a real worker (up to an hour)
	@ENVELOPES_IN_PROCESS=50000 ENVELOPES_THROUGH_A_WORKER=2000 $(BIN)/python -m pytest -n 2 --timeout=0 \
		tests/worker/intake/test_any_envelope.py tests/integration/test_any_envelope.py

lint: $(STAMP) ## run ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(STAMP) ## let ruff fix and format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: ## compare the worker with the bare model and its peers, in benchmarks/results (40 minutes; BENCH_ARGS)
	@$(MAKE) --no-print-directory EXTRAS=bench run-bench

bench-quick: ## run the same on one workload, in under 3 minutes once everything is installed
	@$(MAKE) --no-print-directory EXTRAS=bench run-bench BENCH_ARGS="--quick $(BENCH_ARGS)"

run-bench: $(STAMP)
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

faults: $(STAMP) ## break Redis in 20 ways under load, and say what became of the requests (8 minutes; FAULTS_ARGS)
	@$(BIN)/python -m benchmarks.faults $(FAULTS_ARGS)

clean: ## remove what the other commands created
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache

$(STAMP): pyproject.toml constraints.txt
	@echo "installing into $(VENV) (once, about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
