# The two commands that matter are `make run` and `make test`; `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON = .venv/bin/python
CORPUS ?= embedded
PROFILE ?=
SET ?=
STATE ?= var/state
TORCH_INDEX ?=
DOCKER ?= docker

# No tool of this project may call home or fetch a model; this is the one place that says so.
export HF_HUB_OFFLINE = 1
export DO_NOT_TRACK = 1
export DVC_NO_ANALYTICS = 1
export GX_ANALYTICS_ENABLED = false
export BENTOML_DO_NOT_TRACK = True

# NumPy's products are small here, and its threads would take the cores from torch's and from processes beside it.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help run test lint format compile readme images monitor-ui clean

help: ## show this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: .venv/complete ## run the whole loop; CORPUS=<folder> for your own recordings, PROFILE=<name>, SET="<section.name=value> ..."
	@set -f; set -- $(SET); for change do set -- "$$@" --set "$$change"; shift; done; \
	    $(PYTHON) -m pipelines.local --corpus "$(CORPUS)" --profile "$(PROFILE)" "$$@"

test: .venv/complete ## run all tests, as many at a time as there are cores, up to four
	@$(PYTHON) -m pytest -q --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder --max-worker-restart 1 --durations 10

lint: .venv/complete ## check style, types and the direction of imports
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/hadolint Containerfile
	@PATH="$(CURDIR)/.venv/bin:$$PATH" shellcheck .ci/*

format: .venv/complete ## lay the code out as `make lint` expects it
	@.venv/bin/ruff check --fix --quiet .
	@.venv/bin/ruff format --quiet .

compile: .venv/complete ## write the pipelines as Kubeflow takes them, to pipelines/compiled/; PROFILE= as for run
	@$(PYTHON) -m pipelines.compile --profile "$(PROFILE)"

readme: .venv/complete ## write the README of every component from its docstring
	@$(PYTHON) -m components.readme

images: .venv/complete ## build the four container images, for the CPU; BASE=, TORCH_BUILD= and TORCH_INDEX= as in the Containerfile
	@$(PYTHON) -m components.images tags | while read -r name tag; do \
	    DOCKER_BUILDKIT=1 $(DOCKER) build --file Containerfile --target "$$name" --tag "$$tag" \
	        $(foreach argument,BASE TORCH_BUILD TORCH_INDEX,$(if $($(argument)),--build-arg "$(argument)=$($(argument))")) \
	        --build-arg "REVISION=$$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || true)" \
	        $(BUILD) . </dev/null; \
	    $(DOCKER) image inspect --format "$$tag {{.Size}} bytes" "$$tag"; \
	done

monitor-ui: .venv/complete ## show what drifted in Evidently's own pages; STATE=<folder> of the monitor
	@$(PYTHON) -m monitoring.workspace "$(STATE)"

clean: ## delete the environment, all results and all reports
	@rm -rf .venv var reports build mome.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A file is written last, so that an installation that was broken off starts again.
.venv/complete: pyproject.toml constraints.txt
	@for python in python3.11 python3; do \
	    if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	    python=; \
	done; \
	if [ -z "$$python" ]; then echo "error: Python 3.11 or newer is needed, as python3.11 or python3" >&2; exit 1; fi; \
	$$python install.py --torch-index "$(TORCH_INDEX)"
	@touch $@
