# Kennel. `make` alone prints what each target does.

PYTHON ?= python3
ENVIRONMENT ?= dev
UV := .venv/bin/uv pip install --quiet --constraint constraints.txt --python
CDK := ./kennel cdk
LOCAL := ./kennel local
PACKAGES := app.py predict.py stacks cost operate training lambda_src local tests bench

# uv does not read pip's configuration: where pip finds a wheel on disk, uv is told of it.
ifdef PIP_FIND_LINKS
comma := ,
export UV_FIND_LINKS ?= $(subst $() ,$(comma),$(strip $(PIP_FIND_LINKS)))
endif
# As in ./kennel, for tests that synthesise in their own process.
unexport PYTHONDONTWRITEBYTECODE
export JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION ?= 18,20
export JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION ?= 18,20

say = @printf '\n==> %s\n' "$(1)"

.PHONY: help
help: ## List the targets (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-22s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: .venv/ready .venv-local/ready node_modules/ready ## Set up the environments of the demo and of `./kennel`

# ---- the main job on the embedded AWS

DEMO_DATA := data/digits
DEMO_ASSEMBLY := cdk.out.local
DEMO_PHOTOS := 30
TRAINING_SOURCES := $(shell find training -name '*.py' -o -name '*.txt' -o -name '*.yaml')
STACK_SOURCES := app.py cdk.json $(shell find stacks lambda_src -name '*.py')

.PHONY: demo
demo: $(DEMO_ASSEMBLY)/manifest.json .venv-local/ready ## Photos -> model -> embedded AWS -> predictions, with no AWS account
	$(call say,Start the embedded AWS (one second stands for a minute of alarms, baking and scaling))
	@$(LOCAL) up --time-scale 60
	$(call say,Deploy the stacks (./kennel cdk bootstrap, ./kennel cdk deploy --all))
	@eval "$$($(LOCAL) env)" && $(CDK) bootstrap --app $(DEMO_ASSEMBLY) && \
	  $(CDK) deploy --app $(DEMO_ASSEMBLY) --all --require-approval never --outputs-file build/outputs.json
	$(call say,Send $(DEMO_PHOTOS) test photos through the function's alias "live")
	@eval "$$($(LOCAL) env)" && ./kennel predict --function kennel-local --check --at-least 29 \
	  $$(find $(DEMO_DATA)/test -name '*.png' | sort | awk 'NR % 12 == 1' | head -n $(DEMO_PHOTOS))
	@printf '%s\n' '' 'Where to look next' \
	  '  your own photo       eval "$$($(LOCAL) env)"   (this shell then uses the embedded AWS)' \
	  '                       ./kennel predict --function kennel-local PHOTO' \
	  '  the running parts    $(LOCAL) status' \
	  '  after a change       make demo   (repeats only what the change affects)' \
	  '  stop and remove all  make down' \
	  '  to a real account    make deploy ENVIRONMENT=dev (README: "Deploy to AWS")'

TRAINED := build/launched
LAUNCH := ./kennel launch --environment local --data $(DEMO_DATA) --out $(TRAINED) \
  --instance-type ml.c7i.large --epochs 8
DEPLOY := $(CDK) deploy --all --require-approval never

.PHONY: demo-training
demo-training: .venv/ready .venv-local/ready .venv-training/ready node_modules/ready | $(DEMO_DATA) ## Train and tune as SageMaker jobs on the embedded AWS, and deploy the best model
	$(call say,Start the embedded AWS (one second stands for a minute of alarms, baking and scaling))
	@$(LOCAL) up --time-scale 60
	$(call say,Deploy the stacks that train (there is no model yet))
	@$(CDK) synth --quiet -c environment=local -c model=none --output $(TRAINED)/stacks-that-train
	@eval "$$($(LOCAL) env)" && $(CDK) bootstrap --app $(TRAINED)/stacks-that-train && $(DEPLOY) --app $(TRAINED)/stacks-that-train
	$(call say,A SageMaker training job, under AWS's own training toolkit)
	@eval "$$($(LOCAL) env)" && $(LAUNCH)
	$(call say,A SageMaker tuning job (three settings, two at a time) and then one fit of the best)
	@eval "$$($(LOCAL) env)" && $(LAUNCH) --tune 3 --parallel 2
	$(call say,Deploy the best of them)
	@$(CDK) synth --quiet -c environment=local -c manifest=$(TRAINED)/model.json --output $(TRAINED)/stacks
	@eval "$$($(LOCAL) env)" && $(DEPLOY) --app $(TRAINED)/stacks
	$(call say,Send test photos through the function's alias "live")
	@eval "$$($(LOCAL) env)" && ./kennel predict --function kennel-local --check --at-least 9 \
	  $$(find $(DEMO_DATA)/test -name '*.png' | sort | awk 'NR % 36 == 1')

.PHONY: down
down: ## Stop and remove everything that `make demo` started
	@if [ -x .venv-local/bin/python ]; then $(LOCAL) down; else echo 'Nothing is up.'; fi

$(DEMO_DATA): | .venv/ready
	$(call say,Write the sample photos: scikit-learn's scanned digits)
	@./kennel sample $@

build/model.json: $(TRAINING_SOURCES) | $(DEMO_DATA) .venv/ready
	$(call say,Train the model and pack the artifact)
	@./kennel fit --data $(DEMO_DATA) --out build

$(DEMO_ASSEMBLY)/manifest.json: build/model.json settings/local.toml $(STACK_SOURCES) | .venv/ready node_modules/ready
	$(call say,Synthesise the stacks)
	@$(CDK) synth --quiet -c environment=local --output $(DEMO_ASSEMBLY)
	@touch $@

# ---- AWS

# MODEL=s3://... takes an artifact in S3, with the manifest beside it or MANIFEST=FILE. PRODUCTION=yes lets `sleep`,
# `wake` and `destroy` change an environment with termination protection. YES=yes asks nothing.
OPERATE_MODEL = $(if $(MODEL),--model '$(MODEL)')
OPERATE_MANIFEST = $(if $(MANIFEST),--manifest '$(MANIFEST)') $(if $(filter yes,$(YES)),--yes)
OPERATE_PRODUCTION = $(if $(filter yes,$(PRODUCTION)),--production) $(if $(filter yes,$(YES)),--yes)
OPERATED := .venv/ready-synth node_modules/ready

.PHONY: synth deploy rollback sleep wake change-instance-type destroy
synth: .venv/ready-synth node_modules/ready ## Synthesise the stacks of ENVIRONMENT (default: dev) into cdk.out; print their cost and quotas
	@$(CDK) synth --quiet -c environment=$(ENVIRONMENT)
	@./kennel cost cdk.out

deploy: $(OPERATED) ## Deploy the stacks of ENVIRONMENT to the AWS account of your credentials; print the live model
	@./kennel deploy --environment $(ENVIRONMENT) $(OPERATE_MODEL) $(OPERATE_MANIFEST)

rollback: $(OPERATED) ## Deploy the artifact at MODEL=s3://BUCKET/KEY.tar.gz, with the manifest beside it
	@./kennel rollback --environment $(ENVIRONMENT) $(OPERATE_MODEL) $(OPERATE_MANIFEST)

sleep: $(OPERATED) ## Remove the resources of ENVIRONMENT that bill by the hour; the bucket, the names and the model stay
	@./kennel sleep --environment $(ENVIRONMENT) $(OPERATE_MANIFEST) $(OPERATE_PRODUCTION)

wake: $(OPERATED) ## Restore the resources that `make sleep` removed from ENVIRONMENT
	@./kennel wake --environment $(ENVIRONMENT) $(OPERATE_PRODUCTION)

change-instance-type: $(OPERATED) ## Change the endpoint of ENVIRONMENT to the instance type of its settings, in two deployments
	@./kennel change-instance-type --environment $(ENVIRONMENT) $(OPERATE_MANIFEST)

destroy: $(OPERATED) ## Delete all stacks of ENVIRONMENT, and the models and configurations that updates retained
	@./kennel destroy --environment $(ENVIRONMENT) $(OPERATE_PRODUCTION)

# ---- checks

.PHONY: quick test accept lint format bench constraints clean
PYTEST := .venv/bin/python -m pytest --numprocesses 2 --no-loadscope-reorder
CHECKED := .venv/ready-dev .venv-local/ready .venv-training/ready .venv-ray/ready node_modules/ready-dev

quick: lint ## Check lint and types, and run the tests that start no process (a minute; after every change)
	$(call say,Tests that start nothing)
	@$(PYTEST) --quick --quiet --disable-warnings -p no:syrupy -r fE --durations=3

test: $(CHECKED) lint ## Run every check: lint, types, unit, snapshot, container and end-to-end tests
	$(call say,Tests)
	@$(PYTEST)

accept: $(CHECKED) demo-training ## Run the tests that take too long for `make test`
	$(call say,Types as on a Mac)
	@.venv/bin/mypy --platform darwin --cache-dir .mypy_cache/darwin
	$(call say,Tests that take longer)
	@.venv/bin/python -m pytest -m accept

lint: .venv/ready-dev ## Run ruff, mypy --strict, vermin (the oldest supported Python) and shellcheck
	$(call say,Lint and types)
	@.venv/bin/ruff check $(PACKAGES)
	@.venv/bin/ruff format --check --quiet $(PACKAGES) || { echo 'Run `make format`.'; exit 1; }
	@.venv/bin/mypy
	@.venv/bin/vermin --quiet --no-tips --target=3.11- --violations --exclude long --exclude file --exclude str.decode $(PACKAGES)
	@.venv/bin/shellcheck kennel .ci/run

format: .venv/ready-dev ## Rewrite the sources in ruff's format
	@.venv/bin/ruff check --fix $(PACKAGES)
	@.venv/bin/ruff format $(PACKAGES)

BENCHES = $(basename $(notdir $(shell grep -l '^def main' bench/*.py)))
bench: .venv/ready-dev node_modules/ready ## Run the benchmarks, or one of them with BENCHES=NAME (half an hour)
	@for name in $(BENCHES); do printf '\n==> bench.%s\n' $$name; .venv/bin/python -m bench.$$name || exit 1; done

COMPILE := env -u UV_FIND_LINKS .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --no-annotate --custom-compile-command 'make constraints'
constraints: .venv/uv ## Lock the requirements files (to update a package, first delete its line in constraints.txt)
	@$(COMPILE) requirements.txt --group checks --group training-job --output-file constraints.txt
	@$(COMPILE) --group ray-container --output-file training/serving/constraints-ray.txt

clean: down ## Remove everything that make created
	@rm -rf .venv .venv-local .venv-training .venv-ray node_modules build data cdk.out cdk.out.local

# ---- environments, made by need

.venv/uv:
	$(call say,Set up Python and Node)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 2))' || { echo 'Kennel needs Python 3.11.2 or newer: make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.8
	@touch $@

.venv/ready-synth: .venv/uv constraints.txt stacks/requirements.txt operate/requirements.txt
	@echo 'Python packages for the CDK ...'
	@$(UV) .venv/bin/python -r stacks/requirements.txt -r operate/requirements.txt
	@touch $@

.venv/ready: .venv/ready-synth training/requirements.txt training/serving/requirements.txt
	@echo 'Python packages for training (PyTorch is the large one) ...'
	@$(UV) .venv/bin/python -r training/requirements.txt -r training/serving/requirements.txt
	@touch $@

.venv/ready-dev: .venv/ready pyproject.toml
	@echo 'Python packages for the checks ...'
	@$(UV) .venv/bin/python --group checks
	@touch $@

.venv-local/ready: .venv/uv constraints.txt pyproject.toml training/serving/requirements.txt
	@echo 'Python packages for the embedded AWS ...'
	@test -x .venv-local/bin/python || .venv/bin/uv venv --quiet --python $(PYTHON) .venv-local
	@$(UV) .venv-local/bin/python --group embedded-aws -r training/serving/requirements.txt
	@touch $@

.venv-training/ready: .venv/uv constraints.txt training/requirements.txt pyproject.toml
	@echo "Python packages of training jobs on the embedded AWS (AWS's training toolkit) ..."
	@test -x .venv-training/bin/python || .venv/bin/uv venv --quiet --python $(PYTHON) .venv-training
	@$(UV) .venv-training/bin/python -r training/requirements.txt --group training-job
	@touch $@

SERVING := training/serving
.venv-ray/ready: .venv/uv pyproject.toml $(SERVING)/constraints-ray.txt $(SERVING)/requirements-container.txt
	@echo "Python packages of AWS's Ray container ..."
	@# Python 3.13 as in the container where the machine has one (PYENV_VERSION: pyenv hides it), else make's own.
	@PYENV_VERSION=3.13 .venv/bin/uv venv --quiet --clear --no-python-downloads --python 3.13 .venv-ray 2>/dev/null || \
	  .venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv-ray
	@.venv/bin/uv pip install --quiet --python .venv-ray/bin/python --group ray-container -c $(SERVING)/constraints-ray.txt
	@.venv-ray/bin/python -m pip download -qq --no-deps --only-binary=:all: -d .venv-ray/wheels -r $(SERVING)/requirements-container.txt
	@touch $@

NPM := env -u NODE_EXTRA_CA_CERTS npm ci --silent --no-audit --no-fund
node_modules/ready: package-lock.json
	@echo 'The CDK command line ...'
	@$(NPM) --omit=dev
	@touch $@

node_modules/ready-dev: package-lock.json
	@echo 'The CDK command line, and the IAM simulator of the tests ...'
	@$(NPM)
	@touch $@ node_modules/ready
