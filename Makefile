# Every command that people type. `make demo` and `make test` need Python ≥ 3.11 and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Modules are compiled when they are first imported, which few of them ever are: that is half of pip's work.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile
export PYTHONDONTWRITEBYTECODE :=

PAGES := service/static/index.en.html

.PHONY: demo test ui check kernels lock compose-test clean

# The service works without its pages, and says so at `/`.
demo: $(VENV)/ready
	@$(MAKE) --no-print-directory ui || echo "The web pages could not be built; the rest works." >&2
	$(BIN)/perceptron demo

# Deployments wait more than they work: more processes than cores. tests/conftest.py shares them out.
TEST_PROCESSES ?= 4

ui: $(PAGES)

# Compiled once, before several processes would each do so at the same time.
kernels: $(VENV)/ready-to-test
	$(BIN)/python -c "from perceptron import engines; engines.warm_up('fused')"

test: $(VENV)/ready-to-test $(PAGES) kernels
	$(BIN)/python -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadgroup --no-loadscope-reorder

check: $(VENV)/ready-to-test web/node_modules/.package-lock.json
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	web/with-node npm run --silent check

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
	rm -rf $(VENV) build dist *.egg-info service/static web/node_modules web/.build

$(VENV)/ready: requirements.lock requirements-fast.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --requirement requirements.lock
	$(INSTALL) --no-deps --editable .
	$(INSTALL) --requirement requirements-fast.lock 2> $(VENV)/fast.log \
		|| echo "Without a C compiler requests are read by Python code; that is slower (see $(VENV)/fast.log)." >&2
	touch $@

$(VENV)/ready-to-test: $(VENV)/ready requirements-dev.lock
	$(INSTALL) --requirement requirements-dev.lock
	touch $@

web/node_modules/.package-lock.json: web/package-lock.json | $(VENV)/ready
	web/with-node npm ci --no-progress
	touch $@

$(PAGES): web/node_modules/.package-lock.json web/build.mjs $(wildcard web/src/* web/test/*)
	web/with-node npm run --silent build
