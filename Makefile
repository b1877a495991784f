# `make` lists what there is to do.
MISTO = .venv/bin/misto
ARGS ?=

.PHONY: help demo test lint bench chaos lock clean environment

help:
	@echo "make demo   a simulated city on this machine, live, until Ctrl-C   (ARGS=\"--for 60s\" ends by itself)"
	@echo "make test   all tests, on a real PostgreSQL with TimescaleDB and a real Mosquitto   (ARGS=\"tests/unit\")"
	@echo "make lint   ruff and mypy"
	@echo "make bench  speed on this machine   (ARGS=\"--quick\")"
	@echo "make chaos  the delivery proof: servers killed, lines cut, disks full, for minutes (ARGS=\"--seed 7 --minutes 5\")"
	@echo "make lock   write the exact versions of all dependencies (needs uv)"
	@echo "make clean  remove the environment, the private servers and the demo's data"

demo:
	@PYTHON="$(PYTHON)" sh tools/environment.sh service
	@exec $(MISTO) demo $(ARGS)

environment:
	@PYTHON="$(PYTHON)" sh tools/environment.sh dev

# The servers are fetched before the tests so that one sees it; where they cannot be had the tests say so.
# All tests are shared out among up to four processes, each with servers of its own; the slowest files come first.
test: environment
	@[ -n "$$MISTO_TEST_DATABASE_URL" ] && [ -n "$$MISTO_TEST_MQTT_URL" ] || $(MISTO) runtime fetch || true
	@exec .venv/bin/python -m pytest $(or $(ARGS),-n auto --maxprocesses 4 --dist loadgroup --no-loadscope-reorder)

lint: environment
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

bench: environment
	.venv/bin/python -m bench $(ARGS)

chaos: environment
	@exec .venv/bin/python -m tests.delivery $(ARGS)

lock:
	uv pip compile pyproject.toml --extra runtime --extra build --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header --quiet -o constraints.txt
	uv pip compile pyproject.toml --all-extras -c constraints.txt --universal --python-version 3.11 \
	    --generate-hashes --no-annotate --no-header --quiet -o constraints-dev.txt

clean:
	@sh tools/clean.sh
