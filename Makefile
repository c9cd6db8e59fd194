# Each target does its own set-up in .venv; a second call does none.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
# Of 17,000 files of the dependencies a run imports a few thousand: compiling these alone saves most of a minute.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-compile -c constraints.txt
SOURCES := setup.cfg setup.py pyproject.toml constraints.txt $(wildcard tsssm/dynamics/kernels/source/*)
# One thread a process: the two test workers share a small machine.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test lint format sanitize clean

demo: $(VENV)/.demo
	$(BIN)/python -m tsssm.demo

test: $(VENV)/.test
	$(THREADS) $(BIN)/python -m pytest -q -n 2 --dist worksteal --durations=15

lint: $(VENV)/.test
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy

format: $(VENV)/.test
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

# The kernels of every instruction set that the machine has, under the sanitizers (two or three minutes).
sanitize:
	mkdir -p build
	$(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -O0 -g1 -Wno-psabi -fopenmp -fsanitize=address,undefined \
		-fno-sanitize-recover=all tests/native/sanitize.c -o build/sanitize
	for isa in avx512 avx2 baseline; do TSSSM_ISA=$$isa build/sanitize 200 || exit 1; done

$(VENV)/.venv:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer must be on the PATH; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch alone and first: the packages that want it must find it in place, not choose another version or build.
$(VENV)/.torch: constraints.txt | $(VENV)/.venv
	$(PIP) torch==2.13.0
	@touch $@

$(VENV)/.demo: $(SOURCES) | $(VENV)/.torch
	$(PIP) -e ".[plot]"
	@touch $@

$(VENV)/.test: $(SOURCES) | $(VENV)/.torch
	$(PIP) -e ".[test,sktime,plot,data]"
	@touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
