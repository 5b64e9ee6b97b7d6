# Every target installs its requirements; only python3 >= 3.11, git and make must exist.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
LITELLM := .venv-litellm/.installed
CLIENTS := .venv-clients/.installed
NODE_CLIENTS := .node-clients/.installed
CLOCK := .venv-clock/.installed

# Where nothing is compiled ahead, every process of the tests would compile all its modules anew: half of its start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install first-hour demo test browser lint format unit contract integration hostile acceptance calendar chaos bench rolling mutation lock chart test-container release audit test-pythons docs images clean

install: $(INSTALLED)

# An incomplete environment is created again (--clear): its remains would break the next attempt.
$(INSTALLED): pyproject.toml requirements.lock
	@test -e $@ || $(PYTHON) -m venv --clear .venv
	@rm -f $@
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: install
	@$(BIN)/orchestrator demo

test: browser lint chart docs unit contract integration hostile acceptance calendar

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit: install
	$(BIN)/pytest -n 2 --dist worksteal -p no:schemathesis tests/structure tests/unit

# More processes than cores, because these tests wait for the database.
integration: install
	$(BIN)/pytest -n 3 --dist worksteal tests/$@

# More processes than cores, because these tests wait for timers and for other processes.
contract hostile: install
	$(BIN)/pytest -n 4 --dist worksteal tests/$@

# More processes than cores, because the tests mostly wait for other processes. The longest tests begin first, and those
# of a browser stay together (tests/acceptance/helpers/longest_first.py).
acceptance: install $(LITELLM) $(CLIENTS) $(NODE_CLIENTS)
	$(BIN)/pytest -n 6 --dist loadgroup tests/chaos tests/acceptance

# Runs the date-dependent tests of every floor as if it were DAY: nothing may depend on today's date, or on a model that a
# vendor retires. If the clock cannot be moved, this fails in CI and prints a note elsewhere. tests/unit/core
# is not among them: nothing there can read the clock, because ruff refuses it (TID251 in pyproject.toml). The acceptance
# tests are first, because they wait; distributed by blocks, as pytest-xdist does it, they would be the last of one process.
DAY ?= +730
DATED := tests/acceptance/test_main_job.py tests/acceptance/test_retiring_model.py tests/acceptance/test_tutorial.py \
	tests/acceptance/test_readme.py tests/acceptance/test_demo_command.py tests/unit/status tests/unit/inputs/test_prices.py \
	tests/unit/inputs/test_retirements.py \
	tests/contract/test_sandbox_api.py tests/contract/test_openai_webhooks.py tests/contract/test_provider_dialects.py \
	tests/integration/test_model_expiry.py tests/integration/test_doctor.py tests/integration/test_store_jobs.py \
	tests/integration/test_retention.py tests/integration/test_pruning.py tests/integration/test_status_document.py
calendar: install $(CLOCK)
	$(BIN)/python tests/clock.py $(DAY) $(BIN)/pytest -n 3 --dist loadgroup $(DATED)

# libfaketime is GPL, so it is not among the locked packages: a separate tool that nothing imports or ships.
$(CLOCK): tests/clock.lock | $(INSTALLED)
	@$(BIN)/uv pip install --quiet --target .venv-clock --no-deps --require-hashes -r $<
	@touch $@

# LiteLLM pins other versions of the same packages, so it has an environment of its own; a test sends requests through it.
$(LITELLM): tests/clients/litellm.lock | $(INSTALLED)
	@test -e $@ || $(PYTHON) -m venv --clear .venv-litellm
	@rm -f $@
	@$(BIN)/uv pip install --quiet --python .venv-litellm/bin/python --require-hashes -r $<
	@touch $@

# Third-party clients of the sandbox and of the API. If they cannot be installed, their tests are skipped, but not in CI.
# llmcomp's lock omits the dependencies for other providers (a gigabyte), so only the locked packages are installed.
UNLESS_CI = || { [ "$$CI" != true ] && echo "make: cannot install $(@D); its tests are skipped" >&2; }
$(CLIENTS): tests/clients/clients.lock | $(INSTALLED)
	@test -e $@ || $(PYTHON) -m venv --clear .venv-clients
	@rm -f $@
	@{ $(BIN)/uv pip install --quiet --python .venv-clients/bin/python --no-deps --require-hashes -r $< \
		&& touch $@; } $(UNLESS_CI)

$(NODE_CLIENTS): tests/clients/package-lock.json tests/clients/package.json
	@mkdir -p .node-clients && rm -f $@
	@{ cp $^ .node-clients && npm ci --prefix .node-clients --silent --ignore-scripts --no-audit --no-fund \
		&& touch $@; } $(UNLESS_CI)

# Kill the service ROUNDS times and once at every named point, then count the paid jobs.
ROUNDS ?= 60
SEED ?= 1
chaos: install
	$(BIN)/python tests/chaos/harness.py --rounds $(ROUNDS) --seed $(SEED)
	$(BIN)/python tests/chaos/harness.py --rounds $(ROUNDS) --seed $(SEED) --replicas 2
	$(BIN)/python tests/chaos/harness.py --rounds $(ROUNDS) --seed $(SEED) --accounts 30 --runs 3
	$(BIN)/python tests/chaos/harness.py --rounds $(ROUNDS) --seed $(SEED) --accounts 30 --runs 3 --replicas 2
	$(BIN)/python tests/chaos/harness.py --rounds 4 --seed $(SEED) --accounts 40 --deployments
	$(BIN)/python tests/chaos/harness.py --rounds 4 --seed $(SEED) --accounts 40 --deployments --replicas 2

# Replace all three replicas, one after the other, while ACCOUNTS jobs are created on PostgreSQL; then count the jobs.
ACCOUNTS ?= 200
rolling: install
	ROLLING_ACCOUNTS=$(ACCOUNTS) $(BIN)/pytest -q --timeout 600 --durations 1 -s \
		tests/acceptance/test_replicas.py::test_replicas_replaced_during_a_run_create_each_job_once

# Change the program in small steps and list the changes that no test notices. All mutants take hours, so this takes a
# SAMPLE of each module in percent; SUBJECTS are core, comparison, recorder, errors and dialects (tests/README.md).
SUBJECTS ?= core recorder errors dialects comparison
SAMPLE ?= 15
mutation: install
	nice -n 19 $(BIN)/python tests/mutation/mutation_testing.py $(SUBJECTS) --sample $(SAMPLE) --seed $(SEED)

# The short set, each compared with its reference; results as JSON in test-artifacts. Under ten minutes on two cores.
bench: install
	PYTHONPATH=. $(BIN)/python benchmarks/polling.py
	PYTHONPATH=. $(BIN)/python benchmarks/accounts.py --accounts 1000 --rounds 3
	PYTHONPATH=. $(BIN)/python benchmarks/status.py --jobs 10000 --seconds 20
	PYTHONPATH=. $(BIN)/python benchmarks/start.py --open 10000 --finished 100000
	PYTHONPATH=. $(BIN)/python benchmarks/throughput.py --megabytes 128 --rounds 2
	PYTHONPATH=. $(BIN)/python benchmarks/idle.py --jobs 10000 --seconds 120

# CI installs a browser if it can; elsewhere the dashboard's tests are skipped with a reason.
browser:
	@if [ "$$CI" = true ]; then .ci/browser; fi

# Pinned and hashed for every platform, without addresses: all packages, those of the image, and those that build the image.
COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate $(UPGRADE)
UPGRADE ?= --upgrade
lock:
	@test -x $(BIN)/uv || $(MAKE) install
	$(COMPILE) --all-extras --group dev --group docs pyproject.toml -o requirements.lock
	$(COMPILE) --extra postgres --extra alerts --extra bedrock --extra vertex --constraint requirements.lock pyproject.toml -o deploy/requirements.lock
	echo hatchling | $(COMPILE) --constraint requirements.lock - -o deploy/build.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/python docs/generate_licences.py
	printf 'google-auth\nlitellm\npyyaml\n' | $(COMPILE) - -o tests/clients/litellm.lock
	printf 'openai\nllmcomp\nopenapi-python-client\nhatchling\ndashscope\ngoogle-genai\nazure-mgmt-cognitiveservices\nazure-core\n' | $(COMPILE) --excludes tests/clients/excludes.txt - -o tests/clients/clients.lock
	cd tests/clients && npm update --silent --package-lock-only --ignore-scripts --no-audit --no-fund
	echo libfaketime | $(COMPILE) --no-deps - -o tests/clock.lock

# The tests read a rendered copy of the chart: check that it matches the chart.
chart: install
	@PYTHON=$(CURDIR)/$(BIN)/python HELM_FOLDER=$(CURDIR)/$(BIN) deploy/helm/render.sh --check

test-container: install
	tests/container/run.sh

# Build sdist and wheel into dist/, install the wheel into an empty environment and run the demo there.
release: install
	tests/release/run.sh

# Walk the path of a new user, from the wheel to the model ids, in a fresh environment; prints the transcript.
first-hour: install
	tests/release/first_hour.sh

# Check the locked packages for known vulnerabilities; needs the package index's own service.
audit: install
	tests/release/audit.sh

# Run the unit tests on every supported Python of this machine.
test-pythons: install
	tests/release/pythons.sh

docs: install
	$(BIN)/mkdocs build --strict --site-dir test-artifacts/site

# The pictures of docs/images/, after a visible change of the dashboard.
images: install browser
	$(BIN)/python docs/generate_images.py

clean:
	rm -rf .venv .venv-clients .venv-clock .venv-litellm .node-clients data dist build test-artifacts
