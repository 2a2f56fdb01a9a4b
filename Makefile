# hardened.k8s: what a developer types. Needs Python 3.11, make and git; everything else is fetched into the cache,
# $HARDENED_K8S_CACHE or ~/.cache/hardened-k8s.

PYTHON ?= $(firstword $(shell command -v python3.11) python3)
GATES := $(PYTHON) -m tests.gates

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

env: ## the environment that all of it runs in; prints its path
	@$(PYTHON) -m tests.gates.environment test

check: ## the fast path: style, types, unit tests, tests against an API server
	@$(GATES) check

test: ## everything that CI runs
	@$(GATES) test

clusters: ## tests on real clusters: pods in kind, molecule, virtual machines
	@$(GATES) clusters

lint: ## style, types, documentation and packaging
	@$(GATES) lint

sanity: ## ansible-test sanity, nothing ignored
	@$(GATES) sanity

docs: ## the documentation's own checks
	@$(GATES) docs changelog

benchmark: ## the table of docs/benchmarks.md, measured here
	@$(GATES) benchmark aws-benchmark

matrix: ## old and new ansible-core, Kubernetes client and API server
	@$(GATES) matrix

lock: ## the locked requirements anew
	@$(PYTHON) -m tests.gates.environment --lock

demo: ## a real API server, hardened for Online Boutique; the second run changes nothing
	@$$($(PYTHON) -m tests.gates.environment test)/bin/python -m tests.demo up

demo-down: ## stops it
	@$$($(PYTHON) -m tests.gates.environment test)/bin/python -m tests.demo down

clean: ## what the tools left in the tree
	git clean -fdX

.PHONY: help env check test clusters lint sanity docs benchmark matrix lock demo demo-down clean
