# Needs Python 3.11 or newer; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed

.PHONY: demo test slow lint docs types ci clean

$(STAMP): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("dftopt needs Python 3.11 or newer: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

# The main job: silicon and aluminium, energies, forces, stress, bands beside the density of states. Both at once, one per core.
demo: $(STAMP)
	@$(BIN)/dftopt run examples/aluminium.toml --overwrite >/dev/null & other=$$!; \
	$(BIN)/dftopt run examples/silicon.toml --overwrite; status=$$?; \
	wait $$other || status=$$?; echo; cat out/aluminium/log.txt; exit $$status

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov=dftopt --cov-report=term

slow: $(STAMP)
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

docs: $(STAMP)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -q -b html docs docs/_build
	@echo docs/_build/index.html

types: $(STAMP)
	$(BIN)/mypy

ci:
	.ci/run

clean:
	rm -rf $(VENV) out build dist docs/_build docs/_generated
