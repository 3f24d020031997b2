# Two commands do everything: `make demo` shows the whole path, `make test` proves it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# torch 2.15 alone is several GB: give slow lines time instead of failing.
export UV_HTTP_TIMEOUT ?= 600
UV_INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

.PHONY: demo test install lock clean help

help:
	@echo "make demo     train two models on the bundled digits, export, benchmark them and their ensemble, in results/ or FOLDER=..."
	@echo "make install  make .venv with everything, pinned by constraints.txt"
	@echo "make test     lint, types, tests with and without the frameworks, demo"
	@echo "make lock     resolve constraints.txt anew"
	@echo "make clean    remove .venv and .tox"

demo: $(VENV)/installed
	$(BIN)/python -m benchmark.demo $(if $(FOLDER),--folder "$(FOLDER)")

install: $(VENV)/installed

test: $(VENV)/tools
	$(BIN)/tox run-parallel --parallel 2

# A stamp, so that a second call installs nothing; a changed requirement makes it stale.
$(VENV)/installed: $(VENV)/uv pyproject.toml constraints.txt
	@echo "installing the pinned packages into $(VENV) (several GB, about a minute on a fast line) ..."
	@$(UV_INSTALL) --group benchmark --group torch --group tensorflow --group dev
	@touch $@

$(VENV)/tools: $(VENV)/uv pyproject.toml constraints.txt
	@$(UV_INSTALL) tox tox-uv
	@touch $@

$(VENV)/uv: constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v < (3, 14) else f"error: Python 3.11 to 3.13 is needed, $(PYTHON) is {v[0]}.{v[1]}; run make PYTHON=python3.11 ...")'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@touch $@

lock: $(VENV)/uv
	@sh -c '{ head -2 constraints.txt; $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-header --no-annotate \
		--group benchmark --group torch --group tensorflow --group loadgen --group openvino --group litert --group corruptions --group imagenet --group timm --group parquet --group cluster --group search --group serve --group browser --group dev; } > constraints.new && mv constraints.new constraints.txt'

clean:
	rm -rf $(VENV) .tox
