# For contributors; users install the wheel (see README.md).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test check-all check docs format lock clean

demo: $(VENV)/.installed
	$(BIN)/graft demo

# Everything that must hold before a change lands: under 10 minutes on two cores after installing.
test: $(VENV)/.installed-test check
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

# The slow checks too: the wheel in a clean environment outside the repository among them; property tests draw anew.
check-all: $(VENV)/.installed-test check
	GRAFTWORK_EXAMPLES=random $(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Pages that are written from the source; tests hold them to it.
docs: $(VENV)/.installed-test
	$(BIN)/python tests/words/commands_page.py

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml requirements.lock | $(VENV)/bin/python
	$(BIN)/pip install --quiet -c requirements.lock -e .
	touch $@

$(VENV)/.installed-test: pyproject.toml requirements.lock | $(VENV)/bin/python
	$(BIN)/pip install --quiet -c requirements.lock -e '.[test]'
	touch $@ $(VENV)/.installed

# Versions that are known to work together; the suffix of a local build is not part of a version others can get.
lock: $(VENV)/.installed-test
	$(BIN)/pip freeze --exclude-editable --exclude graftwork | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
