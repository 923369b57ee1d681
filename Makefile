# `make demo` and `make test` do all the set-up: a virtual environment in .venv, locked dependencies.

VERSIONS := 3.11 3.12 3.13
VENV := .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --no-input

# Holds the Python that the environment was made with; written when the set-up is complete.
INSTALLED := $(VENV)/.installed
# Left behind by a set-up that was interrupted, which then starts afresh.
INCOMPLETE := $(VENV)/.incomplete

PYTEST := $(RUN) -m pytest -n logical --maxprocesses 4 --dist loadfile

# XLA compiles quickly rather than well here, since each program runs a few times; as users have it, it
# compiles among the slow tests.
SUITE := XLA_FLAGS="--xla_backend_optimization_level=0 $(XLA_FLAGS)" $(PYTEST) --no-loadscope-reorder

SUITABLE := -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] not in "$(VERSIONS)".split())'

.PHONY: help demo test coverage parity stops slow lint rooms lock clean FORCE

help: ## Say what can be made (PYTHON=/path/to/python chooses the Python)
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' Makefile

demo: $(INSTALLED) ## Train on images that come along; the result is in runs/demo
	$(RUN) -m and_tf.train --run-dir runs/demo --overwrite
	@TF_CPP_MIN_LOG_LEVEL=3 $(RUN) -c 'from and_tf.data import digits; digits.save_held_out_digit("digit.png")'
	@echo 'A digit that the encoder has not seen, a 4: digit.png'

test: $(INSTALLED) ## Run the tests
	$(SUITE) -m "not slow and not parity and not stops"

coverage: $(INSTALLED) ## Say which lines and branches the tests leave out
	$(SUITE) -m "not slow and not parity" --cov

parity: $(INSTALLED) ## Hold several devices to the results of one
	$(PYTEST) -m "parity and not slow"

stops: $(INSTALLED) ## Stop and kill runs and servers, and see that nothing is lost
	$(SUITE) -m "stops and not slow"

slow: $(INSTALLED) ## Run the tests that take long
	$(PYTEST) -m slow

lint: $(INSTALLED) ## Check style, formatting and the order of the rooms
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy and_tf serving
	$(VENV)/bin/lint-imports

rooms: $(INSTALLED) ## List the rooms of the packages in docs/architecture.md
	$(RUN) -m docs.rooms

lock: $(INSTALLED) ## Choose the newest dependencies that setup.cfg allows
	echo '# Written by `make lock`: the base, serving and dev dependencies of setup.cfg.' > requirements.new
	$(RUN) -m uv pip compile setup.cfg --extra dev --extra serving --quiet --no-header --no-emit-index-url \
	    --generate-hashes --universal --python-version $(firstword $(VERSIONS)) \
	    --fork-strategy fewest >> requirements.new
	mv requirements.new requirements.lock

clean: ## Remove the environment and what tools leave behind, but no runs
	rm -rf $(VENV) build dist *.egg-info .coverage .import_linter_cache .mypy_cache .pytest_cache .ruff_cache requirements.new
	find . -name __pycache__ -prune -exec rm -rf {} +

# A Python asked for by name replaces an environment that was made with another.
ifneq ($(PYTHON),)
ifneq ($(PYTHON),$(shell cat $(INSTALLED) 2>/dev/null))
$(INSTALLED): FORCE
REPLACE := yes
endif
endif

$(INSTALLED): requirements.lock setup.cfg pyproject.toml
	@set -e; \
	python=$(RUN); \
	if [ "$(REPLACE)" ] || [ -e $(INCOMPLETE) ] || ! $(RUN) $(SUITABLE) 2>/dev/null; then \
	    set -- $(VERSIONS:%=python%) python3 python; \
	    if [ "$$PYTHON" ]; then set -- "$$PYTHON"; fi; \
	    python= lacking=; \
	    for candidate; do \
	        "$$candidate" $(SUITABLE) 2>/dev/null || continue; \
	        if "$$candidate" -c 'import ensurepip, venv' 2>/dev/null; then \
	            python=$$candidate; break; \
	        fi; \
	        lacking=$$candidate; \
	    done; \
	    if [ "$$python" ]; then :; \
	    elif [ "$$lacking" ]; then \
	        echo "$$lacking has no venv module: install it (Debian, Ubuntu: apt install" \
	            "$$("$$lacking" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])'))." >&2; \
	        exit 1; \
	    else \
	        echo "No suitable Python among: $$*. Install one of Python $(VERSIONS)" \
	            "(TensorFlow 2.20 has wheels for these), or name one: PYTHON=/path/to/python make test." >&2; \
	        exit 1; \
	    fi; \
	    rm -rf $(VENV); \
	    mkdir $(VENV); \
	    touch $(INCOMPLETE); \
	    "$$python" -m venv $(VENV); \
	fi; \
	touch $(INCOMPLETE); \
	echo "Installing into $(VENV) for $$($(RUN) -V); this takes some minutes the first time."; \
	$(PIP) install --require-hashes -r requirements.lock; \
	$(PIP) install --no-deps --no-build-isolation -e .; \
	echo "$$python" > $(INSTALLED); \
	rm $(INCOMPLETE)
