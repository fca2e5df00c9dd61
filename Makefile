PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BACKENDS ?= tensorflow jax torch
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install test test-full lint demo clean

install: $(VENV)/.installed

# Installed under another name and renamed, so that an interrupted installation is begun anew.
$(VENV)/.installed: requirements-test.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-test.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	touch $@

test: $(VENV)/.installed
	@set -e; for backend in $(BACKENDS); do \
		echo "== tests on $$backend"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -n 2 -m "not slow"; \
	done

test-full: $(VENV)/.installed
	@set -e; for backend in $(BACKENDS); do \
		echo "== all tests on $$backend"; \
		KERAS_BACKEND=$$backend $(BIN)/python -m pytest -n 2; \
	done

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist
