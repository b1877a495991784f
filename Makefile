# Two commands do all the set-up: `make demo` and `make test`. Neither needs root, Docker or a virtual environment.

MISTO := .venv/bin/misto
PYTHON := .venv/bin/python
PACKAGES := catalogue store ingest insights rules dashboards simulators misto
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format clean clean-all environment environment-dev

help:  ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'

demo: environment  ## a simulated city, live, on this machine; ARGS="--for 60s" ends by itself with a summary
	@exec $(MISTO) demo $(ARGS)

test: environment-dev  ## all tests; ARGS="tests/unit -q" some of them
	@[ -n "$$MISTO_TEST_DATABASE_URL" ] && [ -n "$$MISTO_TEST_MQTT_URL" ] || $(MISTO) runtime fetch || true
	@exec $(PYTHON) -m pytest $(ARGS)

lint: environment-dev  ## ruff and mypy
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy

format: environment-dev  ## put the code into ruff's form
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean:  ## remove the demo's data and logs; the fetched programs stay
	@tools/clean data

clean-all:  ## remove the data, the fetched programs, the environment and all caches
	@tools/clean all

environment:
	@tools/bootstrap run

environment-dev:
	@tools/bootstrap dev
