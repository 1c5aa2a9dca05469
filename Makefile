# The whole build. `make env` is the first command on a machine with Python 3.11, pip and make.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
UV_EXPORT := $(BIN)/uv export --quiet --frozen --no-emit-project --no-annotate --no-header --no-emit-index-url

.DEFAULT_GOAL := help
.PHONY: help env check test e2e faults soak bench bench-peers bench-scaling icount flame demo \
	lock prices audit sbom wheel format clean

help:  ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:.*## /:/' \
		| while IFS=: read -r name text; do printf '  make %-13s %s\n' "$$name" "$$text"; done

env: $(STAMP)  ## install the locked packages and pointsman itself into .venv

# Made again only when what it is made from changes; requirements/dev.txt pins everything by hash.
# Debian's python3 has no ensurepip without python3-venv: then the system's pip puts pip inside.
$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo 'make env: $(PYTHON) is older than 3.11; try make env PYTHON=python3.11' >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
		|| $(PYTHON) -m venv --clear .venv >/dev/null 2>&1 \
		|| { $(PYTHON) -m venv --clear --without-pip .venv \
			&& $(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

check: env  ## format, lint, types, layers, house rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest --quiet tests/test_tidy.py

# One worker for each core; a test that needs a machine to itself belongs into `make soak`.
test: check  ## check, then every test
	$(BIN)/pytest --numprocesses auto

# About 2 GB on disk, downloaded once; a client that cannot be installed is skipped by name.
e2e: env  ## install people's clients into .e2e, run them all, write docs/clients.md
	$(BIN)/python -m tests.e2e.clients.install
	rm -f .e2e/results.jsonl
	$(BIN)/pytest --quiet tests/e2e/clients; status=$$?; \
		$(BIN)/python -m tests.e2e.clients.table && exit $$status

faults: env  ## run the fault matrix cell by cell, write its table into docs/reliability.md
	$(BIN)/python -m tests.faults.table --docs docs/reliability.md

# About an hour and a half on two cores. One goal alone: .venv/bin/python -m soak g1_crash
soak: env  ## measure what FAULTS promises (G1 to G12) at full size, write docs/reliability.md
	$(BIN)/python -m soak --docs docs/reliability.md

# Ratios to nginx in the same run. A round takes about a minute and a half, the first some minutes more.
ROUNDS ?= 3
bench: env  ## measure pointsman beside nginx (nginx, wrk), write docs/performance.md
	$(BIN)/python -m bench.speed own --rounds $(ROUNDS) --docs --keep docs/performance/bench.jsonl

# About 1 GB in .bench-peers, five minutes a round; what cannot be installed is skipped by name.
bench-peers: env  ## install other gateways, measure them in one run, write docs/performance.md
	$(BIN)/python -m bench.speed peers --rounds $(ROUNDS) --docs --keep docs/performance/peers.jsonl

bench-scaling: env  ## measure cost against sizes and counts (hours), draw docs/performance
	$(BIN)/python -m bench.speed.scaling --docs

icount: env  ## count instructions per request (valgrind); 5% over what is kept fails
	$(BIN)/python -m bench.speed.icount

flame: env  ## draw where each path spends its time, in docs/performance
	$(BIN)/python -m bench.speed.flame --docs after

demo: env  ## a tour on this machine, no account and no key needed
	$(BIN)/pointsman demo

format: env  ## rewrite the sources as `make check` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# uv.lock names hosts, so it is not committed: the exported pins with hashes are the lock.
# Without a uv.lock on disk this moves everything to its newest version; read the diff.
lock: env  ## resolve again for every Python and platform, rewrite requirements/
	$(BIN)/uv lock --quiet
	$(UV_EXPORT) --no-dev --output-file requirements/runtime.txt >/dev/null
	$(UV_EXPORT) --all-extras --output-file requirements/dev.txt >/dev/null

# After genai-prices has moved in requirements/dev.txt; a test fails until this has run.
prices: env  ## write the list of prices that is shipped, of the installed genai-prices
	$(BIN)/python -m bench.build_prices

# Asks a vulnerability service, so it needs the network; what it could not look up fails it too.
audit: env  ## look the locked runtime packages up in the list of known vulnerabilities
	$(BIN)/pip-audit --strict --disable-pip --require-hashes --requirement requirements/runtime.txt

sbom: env  ## write what the package is made of to dist/pointsman.cdx.json (CycloneDX)
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements/runtime.txt --pyproject pyproject.toml \
		--output-reproducible --of JSON --output-file dist/pointsman.cdx.json

wheel: env  ## build the wheel into dist; the same sources give the same bytes
	$(BIN)/python -m hatchling build -t wheel -d dist
	@sha256sum dist/*.whl

clean:  ## remove .venv and everything the tools left
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
