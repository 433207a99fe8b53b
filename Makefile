# Everything a developer or a first-time user runs. `make` alone lists it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BENCH_VENV := .venv-bench
# Tests against real servers wait more than they compute: three workers for two cores.
JOBS ?= 3
BIN := $(VENV)/bin
PIP := -m pip install --quiet --disable-pip-version-check --retries 10 --timeout 60

# Package indexes drop connections in ways that pip does not retry; hashes make trying again safe.
# $(call install_locked,VENV,LIST)
define install_locked
@for pause in 5 20 0; do \
	$(1)/bin/python $(PIP) --require-hashes --no-deps --only-binary :all: -r $(2) && exit 0; \
	sleep $$pause; \
done; exit 1
endef

# The build step uses the locked tools of the environment, so it reaches for no network.
# $(call install_ourselves,VENV)
define install_ourselves
@$(1)/bin/python $(PIP) --no-index --no-deps --no-build-isolation --editable .
endef

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- setting up -------------------------------------------------------------------------
# A stamp says which lock a venv was filled from; a second run finds it and does nothing.

.PHONY: setup setup-render setup-simulate setup-ssh setup-ec2 setup-openstack setup-kubernetes setup-oidc setup-postgres setup-dev
setup: $(VENV)/.stamp-base ## Make .venv with .venv/bin/fenglin
setup-render: $(VENV)/.stamp-render ## setup, with the renderer that the demo uses
setup-simulate: $(VENV)/.stamp-simulate ## setup, with what `fenglin simulate` reads traces with
setup-ssh: $(VENV)/.stamp-ssh ## setup, with what a hub needs to reach sites by SSH
setup-ec2: $(VENV)/.stamp-ec2 ## setup, with what a hub needs to buy nodes of EC2
setup-openstack: $(VENV)/.stamp-openstack ## setup, with what a hub needs to buy nodes of OpenStack
setup-kubernetes: $(VENV)/.stamp-kubernetes ## setup, with what a hub needs to reach Kubernetes
setup-oidc: $(VENV)/.stamp-oidc ## setup, with what logging in by an OpenID provider needs
setup-postgres: $(VENV)/.stamp-postgres ## setup, with what a hub needs to keep its state in PostgreSQL
setup-dev: $(VENV)/.stamp-dev ## setup-render, with the simulator and the tools of check and test

$(VENV)/.stamp-python $(BENCH_VENV)/.stamp-python: %/.stamp-python: scripts/venv
	@scripts/venv $*
	@touch $@

$(VENV)/.stamp-base: requirements/base.txt pyproject.toml $(VENV)/.stamp-python
	@echo "installing Fenglin into $(VENV)"
	$(call install_locked,$(VENV),$<)
	$(call install_ourselves,$(VENV))
	@touch $@

$(VENV)/.stamp-render: requirements/render.txt $(VENV)/.stamp-base
	@echo "installing the renderer into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-dev: requirements/dev.txt $(VENV)/.stamp-render
	@echo "installing the developers' tools into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-simulate: requirements/simulate.txt $(VENV)/.stamp-base
	@echo "installing the simulator into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-ssh: requirements/ssh.txt $(VENV)/.stamp-base
	@echo "installing the SSH client into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-ec2: requirements/ec2.txt $(VENV)/.stamp-base
	@echo "installing the EC2 client into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-openstack: requirements/openstack.txt $(VENV)/.stamp-base
	@echo "installing the OpenStack client into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-kubernetes: requirements/kubernetes.txt $(VENV)/.stamp-base
	@echo "installing the Kubernetes client into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-oidc: requirements/oidc.txt $(VENV)/.stamp-base
	@echo "installing the OpenID client into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(VENV)/.stamp-postgres: requirements/postgres.txt $(VENV)/.stamp-base
	@echo "installing the PostgreSQL client into $(VENV)"
	$(call install_locked,$(VENV),$<)
	@touch $@

$(BENCH_VENV)/.stamp: requirements/bench.txt pyproject.toml $(BENCH_VENV)/.stamp-python
	@echo "installing Fenglin and its peers into $(BENCH_VENV)"
	$(call install_locked,$(BENCH_VENV),$<)
	$(call install_ourselves,$(BENCH_VENV))
	@touch $@

# --- using it ---------------------------------------------------------------------------

.PHONY: demo demo-large demo-ha
demo: setup-render ## Render a small VR panorama on three sites of this machine, into demo-out/
	@$(BIN)/python examples/demo/run.py --preset demo

demo-large: setup-render ## The same at 4096 x 4096 or more
	@$(BIN)/python examples/demo/run.py --preset large

demo-ha: setup-postgres ## Kill a leading hub of three, then the primary of two database servers
	@$(BIN)/python examples/ha/run.py

# --- judging it -------------------------------------------------------------------------

.PHONY: check static test soak soak-seeds soak-hubs soak-load bench bench-ledger docs
check: static ## Style, types, layers and the quick tests
	@$(BIN)/python -m pytest tests/unit tests/architecture -m "not slow" -n $(JOBS)

static: setup-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: static ## Everything: check, and all tests
	@$(BIN)/python -m pytest tests -n $(JOBS) --dist loadgroup

SOAK_S ?= 600
soak: setup-dev soak-seeds soak-hubs soak-load ## Look for what `test` is too short to find, some SOAK_S seconds for each part
soak-seeds: setup-dev ## New seeds of simulated hubs for SOAK_S seconds; prints how to replay what it finds
	@$(BIN)/python -m fenglin.testing.dst soak --seconds $(SOAK_S)

# A kill takes a second, over PostgreSQL two, a failover of the database ten.
soak-hubs: setup-dev ## Kill and stop real hubs and databases, at least 50 takeovers; prints how long each took
	@FENGLIN_KILL_CYCLES=$$(($(SOAK_S) / 20 + 1)) FENGLIN_POSTGRES_ROUNDS=$$(($(SOAK_S) / 300 + 1)) \
	FENGLIN_FAILOVERS=$$(($(SOAK_S) / 30 + 1)) FENGLIN_TAKEOVERS=50 FENGLIN_STANDSTILLS=50 \
	FENGLIN_TAKEOVER_LEASE_S=5 \
	$(BIN)/python -m pytest tests/kill tests/e2e/test_takeover.py -n $(JOBS) --timeout 0

soak-load: setup-dev ## Submit and read for SOAK_S seconds on a hub with 110,000 jobs on PostgreSQL
	@$(BIN)/python -m bench.pg_load --seconds $(SOAK_S)

bench: $(BENCH_VENV)/.stamp ## Measure against the peers in one run; prints ratios
	@$(BENCH_VENV)/bin/python bench/run.py

bench-ledger: setup-dev ## Measure the ledger alone, beside beancount
	@$(BIN)/python bench/run.py --only ledger

docs: setup-dev ## Check that the documentation says what the code does
	@$(BIN)/python -m pytest tests/docs -n $(JOBS)

.PHONY: clean
clean: ## Remove what the targets made, environments too
	@rm -rf $(VENV) $(BENCH_VENV) demo-out .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
