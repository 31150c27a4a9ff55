# Every command that people type. `make demo` and `make test` need Python ≥ 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check lock compose-test clean

demo: $(VENV)/ready
	$(BIN)/perceptron demo

# Deployments wait more than they work: more processes than cores. tests/conftest.py shares them out.
TEST_PROCESSES ?= 4

test: $(VENV)/ready-to-test
	$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadgroup --no-loadscope-reorder

check: $(VENV)/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

# The lock names one version of every package; registries stay the reader's own choice.
lock:
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/pip install --quiet pip-tools
	$(VENV)/lock/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-emit-options --no-header --output-file requirements.lock pyproject.toml
	$(VENV)/lock/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-trusted-host \
		--no-emit-find-links --no-emit-options --no-header --extra dev --constraint requirements.lock \
		--output-file requirements-dev.lock pyproject.toml
	sed -i.bak 's/^torch==\([0-9.]*\)+.*/torch==\1/' requirements.lock requirements-dev.lock
	rm requirements.lock.bak requirements-dev.lock.bak

compose-test:
	deploy/compose_test.sh

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

$(VENV)/ready-to-test: $(VENV)/ready requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	touch $@
