# make serve    set up, export the embedded demo model if it is not there, start the service
# make test     set up, run every test
# make check    set up, run the linters and the type checker
# make clean    remove what the other targets made

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000

# One server per BENTOML_HOME: its start-up wipes the metrics folder in there.
export BENTOML_HOME ?= $(CURDIR)/.bentoml
# Nothing is sent to anybody.
export BENTOML_DO_NOT_TRACK := True
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: serve test check format clean

serve: models/demo/manifest.json
	$(BIN)/cxr serve --port $(PORT)

test: $(VENV)/ready
	$(BIN)/pytest

check: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

models/demo/manifest.json: models/demo.safetensors models/demo.json | $(VENV)/ready
	$(BIN)/cxr export --weights demo
	touch $@

# The stamp is written last: a set-up that broke off is done again.
$(VENV)/ready: pyproject.toml
	@echo "Setting up $(VENV) with $(PYTHON); this downloads packages once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) .bentoml models/demo .pytest_cache .ruff_cache .mypy_cache *.egg-info
