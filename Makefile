# bus_lightning: `make help` lists the targets.
PYTHON ?= python3
TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Index of the CPU build of PyTorch.
comma := ,
CPU_INDEX ?= https://download.pytorch.org/whl/cpu

# npm brings the engine of the browser; the page serves its files only if their checksums are the known ones.
ORT := build/onnxruntime-web
ORT_VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' bus_lightning/diagnosis/page/local/runtime.py)

.PHONY: help setup demo test test-slow test-nightly test-browser test-cluster lint data audit grid evaluate report results leakage reproduce \
        app app-local wandb-sync wandb-dashboard chaos attack mutants bench bench-quick gpu-check docs tutorials wheel \
        try-package test-lowest check-links audit-dependencies clean-cache clean
.DEFAULT_GOAL := help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## *' '{printf "  make %-18s %s\n", $$1, $$2}'

setup: $(READY)  ## build .venv and install the project (TORCH=cpu: the CPU build of PyTorch)

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make setup PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the project and its libraries into $(VENV): about two minutes, up to 6 GB"
	$(if $(filter cpu,$(TORCH)),$(BIN)/python -m pip install --disable-pip-version-check --index-url $(CPU_INDEX) torch torchvision)
	$(BIN)/python -m pip install --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(READY)  ## train a small grid on synthetic images and write a report
	$(BIN)/python train.py -m model=efficientnet_lite0,resnet50,alexnet,deepcardinal50,u2net_lite experiment=demo group=demo
	$(BIN)/python -m bus_lightning.launch.report runs/demo --title "The demo, on synthetic images"

test: $(READY)  ## run the fast tests
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

test-slow: $(READY)  ## run the tests that take seconds each: stopped trainings, whole grids and reports
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'slow and not (gpu or cluster or browser or network)' $(ARGS)

test-nightly: $(READY)  ## run the tests that take minutes each: tutorials, packages in empty environments, the demo
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[docs]'
	$(BIN)/python -m pytest -n auto --dist worksteal -m nightly $(ARGS)

test-browser: $(READY)  ## open a report and the diagnosis page in Chromium
	@command -v npm > /dev/null && $(MAKE) --no-print-directory $(ORT)/$(ORT_VERSION) || \
	  echo "npm did not bring onnxruntime-web: the tests of the page in the browser are skipped"
	$(BIN)/python -m pytest -m browser $(ARGS)

SLURM_PACKAGES := slurmctld slurmd slurm-client munge

test-cluster: $(READY)  ## run grids on a real Slurm (Debian's packages, as root) and a real Ray
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[slurm,ray]'
	$(BIN)/python -m pip check
	@PATH="$$PATH:/usr/sbin:/sbin" command -v slurmctld > /dev/null || \
	  echo "Slurm is not installed, so its tests are skipped. This brings it: sudo apt-get install --yes --no-install-recommends $(SLURM_PACKAGES)"
	$(BIN)/python -m pytest -m cluster tests/cluster $(ARGS)

lint: $(READY)  ## check style, types and workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file tests/mypy.ini
	$(BIN)/zizmor --offline --quiet .github

data: $(READY)  ## get BUSI into data/: download it, or unpack ZIP=file.zip
	$(BIN)/python -m bus_lightning.data.download $(if $(ZIP),--zip '$(ZIP)')

audit: $(READY)  ## look at a data set before training (DIR=... or ARGS='data=bus_bra data.root=...'); results in audit/
	$(BIN)/python -m bus_lightning.data.audit $(if $(DIR),'$(DIR)') $(ARGS) --out audit

grid: $(READY)  ## train the comparison grid on BUSI (ARGS="seed=0,1,2")
	$(BIN)/python train.py -m model=resnet34,resnet50,alexnet,deepcardinal50,efficientnet_lite0,u2net_lite $(ARGS)

evaluate: $(READY)  ## evaluate the kept checkpoints again (RUNS='runs/classification/*')
	$(BIN)/python evaluate.py runs='$(or $(RUNS),runs/classification/*)' $(ARGS)

report: $(READY)  ## write the report of finished runs (GROUPS='runs/demo'; default: runs/classification, or the only group)
	$(BIN)/python -m bus_lightning.launch.report $(GROUPS) $(ARGS)

results: $(READY)  ## fill the tables of docs/results.md and README.md from the runs, and write docs/results.json (ARGS="--runs DIR")
	$(BIN)/python -m bus_lightning.launch.results --summary README.md $(ARGS)

# QUICK=1: the size and epochs of conf/experiment/quick.yaml, for a CPU. Default: the paper's, for a GPU.
SIZE = $(if $(QUICK),experiment=quick) $(ARGS)

leakage: $(READY)  ## run the leak study: which data handling gives the paper's gap between validation and test? (QUICK=1: for a CPU)
	$(BIN)/python train.py sweep=leakage $(SIZE)
	$(BIN)/python train.py sweep=leakage_more $(SIZE)
	$(BIN)/python -m bus_lightning.launch.report runs/leakage

# A failed job does not stop the other steps: the report says what was not run, and why.
reproduce: $(READY)  ## train the paper's grid and segmenters, run the leak study, write the report; continues after a stop (QUICK=1: for a CPU)
	-$(BIN)/python train.py -m model=resnet34_pretrained,resnet34,resnet50,alexnet,deepcardinal50 group=paper $(SIZE)
	-$(BIN)/python train.py -m model=$(if $(QUICK),u2net_lite,u2net_lite$(comma)u2net) group=paper $(SIZE)
	-$(BIN)/python train.py sweep=leakage $(SIZE)
	-$(BIN)/python train.py sweep=leakage_more $(SIZE)
	-$(BIN)/python evaluate.py runs='runs/paper/*' explain=true $(if $(QUICK),explain_options.images=40)
	$(BIN)/python -m bus_lightning.launch.report runs/paper runs/leakage

# `make app BUNDLE=bundles/demo` trains a small pair of networks on synthetic images first, in ten minutes.
DEMO := bundles/demo
DEMO_RUN = runs/two_stage_demo/$(1)__data.split.cross_fold-$(2)__experiment-two_stage_demo

app: $(READY) $(if $(filter $(DEMO),$(BUNDLE)),$(DEMO)/SHA256SUMS)  ## open the diagnosis page (BUNDLE=folder; default: the model in the package)
	$(BIN)/python -m bus_lightning.diagnosis.app $(if $(BUNDLE),'$(BUNDLE)') $(ARGS)

app-local: $(READY) $(ORT)/$(ORT_VERSION)  ## open the diagnosis page that answers in the browser, so that no image leaves it (BUNDLE=folder; needs npm)
	$(BIN)/python -m bus_lightning.diagnosis.app $(if $(BUNDLE),'$(BUNDLE)') --local --runtime $(ORT) $(ARGS)

$(ORT)/$(ORT_VERSION):
	@command -v npm > /dev/null || { echo "npm is needed once, to get onnxruntime-web: install Node.js, then make app-local again"; exit 1; }
	rm -rf $(ORT) && mkdir -p $(ORT)
	cd $(ORT) && npm pack --silent onnxruntime-web@$(ORT_VERSION) > /dev/null
	tar -xzf $(ORT)/*.tgz -C $(ORT) --strip-components=2 $(addprefix package/dist/,ort.wasm.min.mjs ort-wasm-simd-threaded.mjs ort-wasm-simd-threaded.wasm)
	rm $(ORT)/*.tgz
	@touch $@

$(DEMO)/SHA256SUMS: | $(READY)
	$(BIN)/python train.py sweep=two_stage experiment=two_stage_demo group=two_stage_demo model=unet_efficientnet_lite0,efficientnet_lite0 logger=none
	$(BIN)/python -m bus_lightning.export --run '$(call DEMO_RUN,unet_efficientnet_lite0,null)' \
	  '$(call DEMO_RUN,efficientnet_lite0,null)' --out-of-fold '$(call DEMO_RUN,efficientnet_lite0,[0-9])' --samples 6 --out $(DEMO)

wandb-sync: $(READY)  ## send offline recordings to W&B (RUNS=runs)
	$(BIN)/python -m bus_lightning.tracking sync $(or $(RUNS),runs) $(ARGS)

wandb-dashboard: $(READY)  ## build the dashboard on W&B and mark each group's champion (ENTITY=... PROJECT=bus_lightning)
	@test -n '$(ENTITY)' || { echo "Give the owner of the W&B project: make wandb-dashboard ENTITY=your-team"; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[dashboard]'
	$(BIN)/python -m bus_lightning.tracking build --entity '$(ENTITY)' --project '$(or $(PROJECT),bus_lightning)' $(ARGS)

chaos: $(READY)  ## kill a small grid sixty times and check that nothing is lost (ARGS="--kills 200")
	$(BIN)/python -m benchmarks.chaos $(ARGS)

attack: $(READY)  ## give 3,500 hostile and damaged files to the commands and count the outcomes (ARGS=--quick)
	$(BIN)/python -m benchmarks.attack $(ARGS)

mutants: $(READY)  ## make 150 small mistakes in a copy of the code and count how many the tests notice (ARGS="--seed 2 --jobs 4")
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[mutants]'
	$(BIN)/python -m benchmarks.mutants $(ARGS)

bench: $(READY)  ## measure speed, start-up, growth and memory; see benchmarks/README.md (ARGS="throughput grid": only these)
	$(BIN)/python -m benchmarks $(ARGS)

bench-quick: $(READY)  ## measure a small part in three minutes and print it
	$(BIN)/python -m benchmarks --quick $(ARGS)

gpu-check: $(READY)  ## measure on one GPU in eight minutes: speed, memory, a resumed run, the tests that need one
	$(BIN)/python -m benchmarks.gpu $(ARGS)

docs: $(READY)  ## build the pages of docs/ into build/site/, without a warning or the internet
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[docs]'
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/pages . build/site
	@echo "build/site/index.html"

tutorials: $(READY)  ## run the tutorials of docs/tutorials/ from top to bottom (ARGS="-k first_grid")
	$(BIN)/python -m pip install --disable-pip-version-check -q -e '.[docs]'
	$(BIN)/python -m pytest -m nightly tests/docs/test_tutorials.py $(ARGS)

# The wheel is installed without its extras into an empty environment, where the model in it answers an image.
wheel:  ## build the wheel and the sdist into dist/, and try the wheel in an empty environment
	rm -rf dist build/answers
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/python -m pip install --disable-pip-version-check -q 'hatchling>=1.27'
	build/wheel/bin/python -m hatchling build -d dist
	$(PYTHON) -m venv --clear build/wheel
	build/wheel/bin/python -m pip install --disable-pip-version-check -q dist/bus_lightning-*.whl
	build/wheel/bin/python -m pip check
	build/wheel/bin/bus-diagnose 'tests/kept/data/phantom/normal/normal (1).png' --out build/answers

# With TORCH=cpu, the CPU build of PyTorch is installed first, which the package then finds.
try-package: wheel  ## train, report, audit, evaluate and answer in an empty folder, with the installed wheel and then the sdist
	$(PYTHON) -m venv --clear build/package
	$(if $(filter cpu,$(TORCH)),build/package/bin/python -m pip install --disable-pip-version-check -q --index-url $(CPU_INDEX) torch torchvision)
	build/package/bin/python -m pip install --disable-pip-version-check -q "$$(echo dist/bus_lightning-*.whl)[train]"
	build/package/bin/python -m pip check
	.ci/try_package.sh build/package
	build/package/bin/python -m pip install --disable-pip-version-check -q --no-deps --force-reinstall dist/bus_lightning-*.tar.gz
	.ci/try_package.sh build/package

# uv finds the oldest versions, pip installs them: it also looks where PyTorch's CPU build is.
OLDEST := build/lowest/bin/python -m pip install --disable-pip-version-check -q --no-deps
ONLY_FOR_GPUS := ^(nvidia|cuda|triton)
test-lowest:  ## run the fast tests with the oldest versions that pyproject.toml allows (ARGS="tests/metrics"; TORCH=cpu)
	$(PYTHON) -m venv --clear build/lowest
	build/lowest/bin/python -m pip install --disable-pip-version-check -q 'uv>=0.13'
	build/lowest/bin/uv pip compile -q --python build/lowest/bin/python --resolution lowest-direct \
	  $(addprefix --extra ,$(subst $(comma), ,$(ALL_EXTRAS))) pyproject.toml -o build/lowest.txt
	$(if $(filter cpu,$(TORCH)),grep -E '^torch(vision)?==' build/lowest.txt > build/lowest-torch.txt)
	$(if $(filter cpu,$(TORCH)),$(OLDEST) --index-url $(CPU_INDEX) -r build/lowest-torch.txt)
	$(if $(filter cpu,$(TORCH)),sed -i -E '/$(ONLY_FOR_GPUS)/d' build/lowest.txt)
	$(OLDEST) -r build/lowest.txt
	$(OLDEST) -e .
	build/lowest/bin/python -m pip check
	build/lowest/bin/python -m pytest -n auto --dist worksteal $(ARGS)

check-links: $(READY)  ## ask each data set's address, and each other address in the pages, for an answer
	$(BIN)/python -m pytest -m network tests/docs/test_addresses.py $(ARGS)

ALL_EXTRAS := dev,docs,slurm,ray,tensorboard,mutants
RESOLVED := import json; packages = [item["metadata"] for item in json.load(open("build/resolved.json"))["install"]]; \
  print(*sorted("{name}=={version}".format(**data) for data in packages if data["name"] != "bus_lightning"), sep="\n")

audit-dependencies:  ## compare the versions that pip would install for all extras with the published vulnerabilities
	$(PYTHON) -m venv build/audit
	build/audit/bin/python -m pip install --disable-pip-version-check -q pip-audit==2.10.1
	build/audit/bin/python -m pip install --disable-pip-version-check -q --dry-run --ignore-installed --report build/resolved.json '.[$(ALL_EXTRAS)]'
	build/audit/bin/python -c '$(RESOLVED)' > build/resolved.txt
	build/audit/bin/python -m pip_audit --strict --no-deps --disable-pip --requirement build/resolved.txt

clean-cache:  ## remove audit results and decoded images (data/cache); they are made again when needed
	rm -rf data/cache

clean:  ## remove the environment, caches and phantoms; runs/ and real data stay
	rm -rf $(VENV) data/phantom data/phantom_demo data/cache audit build dist .pytest_cache .mypy_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
