# Two commands do everything from a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXAMPLES := budgie colosseum kitten

.PHONY: demo test clean

demo: $(VENV)/.core
	mkdir -p demo
	for name in $(EXAMPLES); do $(BIN)/cnlrn restore examples/$$name.png -o demo/$${name}_x4.png --overwrite || exit 2; done
	$(BIN)/cnlrn sheet $(foreach name,$(EXAMPLES),examples/$(name).png demo/$(name)_x4.png) \
		-o demo/before-after.png --overwrite
	@echo "Look at demo/before-after.png"

test: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/zensical build --strict
	$(BIN)/pytest --cov --cov-report=term-missing:skip-covered

$(VENV)/.venv:
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.core: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.venv pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e '.[train,niqe,st-lpips,classical,dev]'
	touch $@ $(VENV)/.core

clean:
	rm -rf $(VENV) demo site .mypy_cache .pytest_cache .ruff_cache .coverage
