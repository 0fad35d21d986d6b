# `make demo` and `make test` need Python 3.11 and make, nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check format bench clean

demo: $(STAMP)
	$(BIN)/counterfoil demo

test: $(STAMP)
	$(BIN)/pytest -n 2 --dist loadfile

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest tests/test_packaging.py -p no:randomly

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m bench.pull
	$(BIN)/python -m bench.soap
	$(BIN)/python -m bench.push
	$(BIN)/python -m bench.live
	$(BIN)/python -m bench.reconcile
	$(BIN)/python -m bench.fleet

# The environment takes nothing from outside: no user site, no PYTHONPATH, versions from constraints.txt.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --group dev -e .
	touch $(STAMP)

clean:
	rm -rf $(VENV) .tryton .bench .counterparts build dist *.egg-info

unexport PYTHONPATH
export PYTHONNOUSERSITE = 1
