# Two commands: `make demo` shows Citewell at work, `make test` runs every check.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

# Nothing is written outside $(VENV) and index/.
export PYTHONPYCACHEPREFIX := $(CURDIR)/$(VENV)/cache/python
INSTALL := $(BIN)/pip install --quiet --no-cache-dir --disable-pip-version-check -c constraints.txt

.PHONY: demo test format clean

demo: $(VENV)/.installed
	$(BIN)/rag index seeds --index index
	$(BIN)/rag ask "What should I do if I get a fever during chemotherapy?" --index index --top-k 3
	@echo "Serve it:          $(BIN)/rag serve --index index"
	@echo "Index your folder: $(BIN)/rag index path/to/your/folder --index index"

test: $(VENV)/.installed-test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

format: $(VENV)/.installed-test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) index/versions index/encoders index/unfinished index/current index/.lock

$(VENV)/bin/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/bin/pip pyproject.toml constraints.txt
	$(INSTALL) -e '.[test]'
	@touch $@ $(VENV)/.installed
