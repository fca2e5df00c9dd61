PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
BACKENDS ?= tensorflow jax torch
export TF_CPP_MIN_LOG_LEVEL ?= 2
# Two processes run tests: threads of one would wait for those of the other.
TEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: install demo gallery test test-full test-all bench bench-full lint clean

install: $(VENV)/.installed

# The mark is made last, so that an interrupted installation is begun anew.
$(VENV)/.installed: requirements-test.txt pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements-test.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(VENV)/.installed
	@KERAS_BACKEND=$${KERAS_BACKEND:-tensorflow} $(BIN)/python examples/demo.py

# GALLERY names data, such as GALLERY="--data-dir DIR --data nmnist1k=FOLDER".
gallery: $(VENV)/.installed
	@KERAS_BACKEND=$${KERAS_BACKEND:-torch} $(BIN)/keras-staa report --all --out docs/gallery $(GALLERY)

test: $(VENV)/.installed
	@set -e; for backend in $(BACKENDS); do \
		echo "== tests on $$backend"; \
		KERAS_BACKEND=$$backend $(TEST) -m "not slow"; \
	done

# Every case on PyTorch, and a third of them on one of the other two as well.
test-full: $(VENV)/.installed
	@set -e; for backend in $(BACKENDS); do \
		echo "== all tests on $$backend"; \
		KERAS_BACKEND=$$backend $(TEST); \
	done

# Every case of every test on every backend, and those marked as release.
test-all: $(VENV)/.installed
	@set -e; for backend in $(BACKENDS); do \
		echo "== every case on $$backend"; \
		KERAS_BACKEND=$$backend $(TEST) --every-case; \
	done

bench: $(VENV)/.installed
	@for backend in $(BACKENDS); do \
		KERAS_BACKEND=$$backend $(BIN)/python benchmarks/limit.py; \
	done

bench-full: $(VENV)/.installed
	@for backend in $(BACKENDS); do \
		KERAS_BACKEND=$$backend $(BIN)/python benchmarks/limit.py grid; \
	done

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build dist
