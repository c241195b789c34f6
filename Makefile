# For contributors; users install the wheel (see README.md).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHONS ?= python3.11 python3.12 python3.13

.PHONY: demo test test-pythons check-all check docs format lock clean

demo: $(VENV)/.installed
	$(BIN)/graft demo

# Everything that must hold before a change lands: under 10 minutes on two cores after installing.
test: $(VENV)/.installed-test check
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadgroup

# The same with every Python that is here, each in an environment of its own.
test-pythons:
	@ran=; for python in $(PYTHONS); do \
	  if ! $$python -c "" 2>/dev/null; then echo "$$python is not here: skipped"; continue; fi; \
	  $(MAKE) test PYTHON=$$python VENV=.venv-$${python##*python} || exit 1; ran="$$ran $$python"; \
	done; test -n "$$ran" && echo "passed with$$ran"

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
