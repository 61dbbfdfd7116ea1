# Two commands do everything on a fresh machine with Python 3.11 and make: `make demo` and `make test`.
# Each installs what it needs into .venv first.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
# One thread a process: many small computations side by side beat threads inside one.
export OMP_NUM_THREADS := 1
# Quiet and private.
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export DO_NOT_TRACK := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Without a GPU, torch's CPU build saves gigabytes. PIP_FIND_LINKS says that wheels are provided locally; those win.
TORCH_INDEX ?= $(if $(shell command -v nvidia-smi)$(PIP_FIND_LINKS),,https://download.pytorch.org/whl/cpu)
PIP := $(BIN)/pip install -qq --no-compile -c constraints.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
# pip compiles on one core, and tests of other projects as well: that is half of its time.
COMPILE := $(BIN)/python -m compileall -q -j 0 -x 'site-packages/.*/tests?/' $(VENV)/lib >/dev/null 2>&1 || true

# Debian's packages of a scheduler.
SLURM := slurmctld slurmd slurm-client munge

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all docs docs-tutorials wheel wheel-test audit lint proofs chaos images-test slurm-test cluster-test up down bench gpu-bench clean

help:  ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 13

$(BIN)/python:
	@$(PYTHON) -m venv $(VENV)
	@# Installs twice as fast as the pip that comes with Python 3.11.
	@$(BIN)/pip install -qq --upgrade pip

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing asteroid into $(VENV) (a few minutes the first time) …"
	@$(PIP) -e '.[all]'
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what the tests need …"
	@$(PIP) -e '.[dev]'
	@$(COMPILE)
	@touch $@

install: $(VENV)/.installed  ## install asteroid with everything it needs into .venv

demo: $(VENV)/.installed  ## two molecules from manifest to certified model and report, on real quantum chemistry
	@$(BIN)/asteroid run manifests/demo.yaml

lint: $(VENV)/.installed-dev  ## style, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

# One process a core, each with up to 2 GB; tests of one file share what they set up.
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

test: lint  ## lint, then every test that takes seconds
	@$(PYTEST)

test-all: test audit  ## then the tests that take minutes: kills of servers, large basis sets, trainings to known answers, Slurm and Postgres where they are installed
	@$(PYTEST) -m long

$(VENV)/.installed-docs: $(VENV)/.installed
	@echo "installing what the site needs …"
	@$(PIP) -e '.[docs]'
	@touch $@

docs: $(VENV)/.installed-docs  ## build the site into docs/_build/html; warnings and broken links are errors
	@$(BIN)/python -m sphinx -q -W --keep-going -d docs/_build/doctrees docs docs/_build/html
	@$(BIN)/python docs/check_site.py docs/_build/html

docs-tutorials: $(VENV)/.installed-docs $(VENV)/.installed-dev  ## run the tutorials and keep their output in them (every night; two hours)
	@$(BIN)/python docs/tutorials/run.py

wheel: $(VENV)/.installed  ## build dist/*.whl
	@rm -rf dist && $(BIN)/pip wheel -qq --no-deps -w dist .

wheel-test: wheel  ## install the wheel into a new environment, far from this folder, and run a tiny manifest
	@d=$$(mktemp -d) && trap 'rm -rf $$d' EXIT && $(PYTHON) -m venv $$d/env && cp tests/wheel.yaml $$d \
		&& $$d/env/bin/pip install -qq --no-compile $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) "$$(echo dist/*.whl)[all]" \
		&& cd $$d && env/bin/asteroid doctor && { env/bin/asteroid run wheel.yaml || [ $$? = 3 ]; }

audit: $(VENV)/.installed  ## known vulnerabilities of the versions in constraints.txt, where an advisory database answers
	@$(BIN)/python -m infra.audit

proofs: $(VENV)/.installed-dev  ## every label method and form of score matching against known answers, those that take minutes included
	@$(BIN)/python -m pytest -m 'long or not long' tests/physics/test_labels.py tests/physics/test_labels_published.py tests/engines/test_hessian.py \
		tests/training/test_objectives.py tests/training/test_score_matching.py

chaos: $(VENV)/.installed-dev  ## a hundred kills of label workers, shards, pipelines and the server (ten minutes)
	@$(BIN)/python -m pytest tests/chaos
	@$(BIN)/python -m tests.chaos.full

images-test: $(VENV)/.installed  ## build the container images and run pipelines in them (root and buildah; half an hour)
	@$(BIN)/python -m infra.images.test

slurm-test: $(VENV)/.installed-dev  ## pipelines on a real Slurm cluster of two nodes, with twenty faults (root and Debian; half an hour)
	@{ command -v slurmctld && command -v slurmd && command -v sbatch; } >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -y -qq --no-install-recommends $(SLURM) >/dev/null; } \
		|| { echo "slurm-test needs Slurm; as root, run: apt-get install $(SLURM)"; exit 1; }
	@$(BIN)/python -m pytest -s -m long tests/slurm

cluster-test: $(VENV)/.installed-dev  ## a pipeline with rounds on Postgres and an object store, with lost workers (Debian; ten minutes)
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { [ "$$(id -u)" = 0 ] && apt-get install -y -qq --no-install-recommends postgresql >/dev/null; } \
		|| { echo "cluster-test needs Postgres; as root, run: apt-get install postgresql"; exit 1; }
	@$(BIN)/python -m pytest -s -m long tests/cluster

up: $(VENV)/.installed  ## a local Prefect server on 127.0.0.1:4200, work pools, deployments and workers
	@$(BIN)/python -m infra.local up

down: $(VENV)/.installed  ## stop what `make up` started
	@$(BIN)/python -m infra.local down

gpu-bench: $(VENV)/.installed  ## training and MD against MACE's script, ASE and TorchSim, on the GPU where there is one
	@$(BIN)/python -m benchmarks.training_speed --batch-size 100
	@$(BIN)/python -m benchmarks.simulation --replicas 1 64 1024

bench: $(VENV)/.installed  ## overhead of the labelling stages against a bare loop, on this machine
	@$(BIN)/python -m benchmarks.labelling_overhead

clean:  ## remove the virtual environment and caches; the store stays
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
