# Every target installs what it needs; only python3 >= 3.11, git and make are assumed.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: install demo test lint format unit contract integration acceptance lock clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

demo: install
	@$(BIN)/orchestrator demo

test: lint unit contract integration acceptance

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

unit contract integration acceptance: install
	$(BIN)/pytest tests/$@

# requirements.lock: every package of every extra and group, pinned and hashed, for every platform.
lock:
	@test -x $(BIN)/uv || $(MAKE) install
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate \
		--all-extras --group dev --upgrade pyproject.toml -o requirements.lock

clean:
	rm -rf .venv data dist build test-artifacts
