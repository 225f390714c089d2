# Everything here runs on a machine that has Python 3.11 or newer, make and a package registry.

PYTHON ?= python3
# Processes that share the test files; they wait for brokers and workers more than they compute.
TESTERS ?= 2
LOCAL_UV := .headrace/uv/bin/uv
UV := $(if $(shell uv --version 2>/dev/null),uv,$(LOCAL_UV))
RUN := $(UV) run --no-sync

ifneq ($(wildcard ../shared/data),)
HEADRACE_DATA ?= $(abspath ../shared/data)
endif
export HEADRACE_DATA

.DEFAULT_GOAL := help
.PHONY: help demo test check bench chaos services-up services-down fmt sync

help: ## tell the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

demo: sync ## simulated card payments through the whole pipeline, with the API left running
	$(RUN) headrace demo $(ARGS)

test: sync ## every test; live ones need Java 17+ and Maven, or are skipped with the reason
	$(RUN) pytest -n $(TESTERS) --dist loadfile --no-loadscope-reorder $(COVERAGE) $(ARGS)

check: SYNCED := --all-groups
check: sync ## all that continuous integration runs, peers of the benchmarks included
	$(RUN) ruff check
	$(RUN) ruff format --check
	$(RUN) mypy
	$(RUN) lint-imports
	$(MAKE) test SYNCED=$(SYNCED) COVERAGE="--cov --cov-report=term --cov-fail-under=90"

bench: $(filter $(LOCAL_UV),$(UV)) ## every benchmark beside its peers
	$(UV) sync --frozen --all-groups
	$(RUN) headrace bench all $(ARGS)

chaos: sync ## every fault drill: 50 seeds of the failpoints, 10 of the others, one soak; goes on where it was broken off
	@failed=0; \
	$(RUN) headrace chaos run kill-worker --seeds 50 --resume $(ARGS) || failed=1; \
	$(RUN) headrace chaos run --without kill-worker --without soak --seeds 10 --resume $(ARGS) || failed=1; \
	$(RUN) headrace chaos run soak --seeds 1 --resume $(ARGS) || failed=1; \
	$(RUN) headrace chaos table; \
	exit $$failed

services-up: sync ## a real Kafka broker, Redis and ClickHouse engine, in .headrace/
	$(RUN) headrace services up $(ARGS)

services-down: sync ## end them; their data stay
	$(RUN) headrace services down $(ARGS)

fmt: sync ## format the code and mend what can be mended
	$(RUN) ruff check --fix
	$(RUN) ruff format

sync: $(filter $(LOCAL_UV),$(UV))
	@$(UV) sync --frozen --quiet $(SYNCED)

# A virtual environment of its own, since many systems refuse to install beside their own packages.
$(LOCAL_UV):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "headrace needs Python 3.11 or newer")'
	$(PYTHON) -m venv .headrace/uv
	.headrace/uv/bin/python -m pip install --quiet uv
