# make demo    the main job: real digits to a published generator
# make test    the tests; no root, no services; WORKERS=4 in place of 2 shares them among more processes
# make test-system   what needs several Ray nodes, a browser, a real S3 store, or minutes
# make test-system GAN_TEST_S3=moto   the same on moto's S3 server, where Ceph cannot be installed
# make system-packages   Debian's chromium, Ceph and PostgreSQL (a browser, an S3 store, Prefect's database), where they are missing
# make chaos   everything that can go wrong on a cluster, done to one of four hosts on this machine; needs root
# make check   ruff, mypy --strict, import-linter
# make bench   what it costs, as JSON lines
# make setup   only the environment, .venv, from the pinned versions of infra/constraints.txt

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# how many processes share the tests, a file each: a test that waits for another process leaves a processor to the others
WORKERS ?= 2
SHARED := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
SETUP := $(VENV)/.set-up

.PHONY: help setup system-packages demo test test-fast test-gpu test-system chaos check bench constraints clean

help:
	@sed -n 's/^# make /make /p' Makefile

setup: $(SETUP)

$(SETUP): pyproject.toml infra/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed, $(PYTHON) is `$(PYTHON) -V 2>&1`; try make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -c infra/constraints.txt -e '.[pipelines,formats,dev]'
	@touch $(SETUP)

system-packages:
	@command -v chromium >/dev/null || { \
		command -v apt-get >/dev/null || \
			{ echo "chromium is missing, and so is apt-get: install Chromium so that 'chromium' starts it"; exit 1; }; \
		root=env; [ `id -u` = 0 ] || root="sudo env"; command -v $${root% env} >/dev/null || \
			{ echo "chromium is missing, and only root can install it: apt-get install chromium"; exit 1; }; \
		$$root apt-get update -qq && \
		$$root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; }
	@[ "$(GAN_TEST_S3)" = moto ] || infra/local/s3.sh install
	@infra/local/prefect.sh install
	@infra/local/hosts.sh install

demo: setup
	$(BIN)/gan run configs/digits.yaml

test: setup
	$(BIN)/python -m pytest $(SHARED) -m "not gpu and not system"

test-fast: setup
	$(BIN)/python -m pytest $(SHARED) -m "not gpu and not system and not slow"

test-gpu: setup
	$(BIN)/python -m pytest -m gpu

test-system: setup system-packages
	GAN_TEST_NO_SKIPS=1 GAN_TEST_S3=$(GAN_TEST_S3) $(BIN)/python -m pytest $(SHARED) -m system --durations=20

chaos: setup system-packages
	$(BIN)/python -m tests.chaos

check: setup
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	for file in benchmarks/*.py; do $(BIN)/python $$file || exit 1; done

# The newest versions that pyproject.toml allows, tried and written down; look at the difference before you commit it.
constraints:
	rm -rf build/constraints && $(PYTHON) -m venv build/constraints
	build/constraints/bin/pip install -q 'torch==2.13.0' '.[pipelines,formats,dev]'
	( sed -n '/^#/p' infra/constraints.txt; build/constraints/bin/pip freeze --exclude gan-pipelines | sed 's/+cpu//' ) > build/constraints.txt
	mv build/constraints.txt infra/constraints.txt

clean:
	rm -rf $(VENV) build dist store *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
