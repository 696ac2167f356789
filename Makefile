# make song | make canvas | make test | make test-fast | make test-systems | make lint | make wheel
# Each target makes its own environment first: .venv, with everything pinned in constraints.txt.

PYTHON ?= python3
BIN := .venv/bin
CAPTION ?= lo-fi piano over soft rain, warm tape, slow
DURATION ?= 30
# One process per processor; the tests of a file stay together, because they share what takes long to make.
PARALLEL ?= -n auto --dist loadfile

.PHONY: song canvas test test-fast test-systems lint wheel clean

song: .venv/.song
	$(BIN)/acestep song "$(CAPTION)" --duration $(DURATION) -o output/song.flac

canvas: .venv/.canvas
	$(BIN)/acestep serve --open

test: .venv/.dev
	$(BIN)/python -m pytest $(PARALLEL)

# For daily work: without what tests/slow.txt lists.
test-fast: .venv/.dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

# What deals with files, under Windows' and macOS' rules for them; networks on an Apple GPU. CONTRIBUTING has the whole.
FILES := tests/io tests/records tests/models/test_replaced_files.py tests/pipeline/test_saving.py tests/host/test_batch.py
FILES += tests/host/test_client.py tests/host/test_paths.py tests/host/test_security.py tests/nodes/test_save_nodes.py
FILES += tests/commands/test_models.py tests/checkpoints/test_weights.py
NETWORKS := tests/models/test_selftest.py tests/models/test_layers.py tests/models/test_convolutions.py
NETWORKS += tests/checkpoints/test_packing.py tests/builtin/test_codec.py
NETWORKS += tests/render/test_loop.py tests/render/test_vae.py tests/render/test_guidance.py
NETWORKS += tests/judge/test_alignment.py tests/judge/test_lm_score.py
test-systems: .venv/.dev
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --files windows $(FILES)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --files folding $(FILES)
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow" --device mps14 $(NETWORKS)
	$(BIN)/python -m pytest $(PARALLEL) tests/gpu --card cpu

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

wheel: .venv/.dev
	$(BIN)/python -m build --wheel

clean:
	rm -rf .venv build dist *.egg-info

# torch comes first and alone, so that nothing that depends on it picks another build.
.venv/.torch: constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	touch $@

.venv/.song: .venv/.torch pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

.venv/.canvas: .venv/.torch pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[canvas]"
	touch $@

.venv/.dev: .venv/.torch pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[canvas,train,dev]"
	touch $@
