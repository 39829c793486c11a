# Two commands do everything on a machine with Python 3.11 or newer, its venv module and make:
#
#   make run     install into .venv, then run all lessons on the drawn sample; leaves report/
#   make test    install into .venv, then run every notebook and test
#
# `make run DATA=...` takes real pictures: folders separated as in PATH, or the word kaggle.
# One run's settings: ARCH, SIZE, BS, EPOCHS, SPLIT, FAST, RECIPE (see nbs/core/01_settings.ipynb).
# The folder: REPORT.
#
#   make reader FILM=...   train the reader on the film, and export it: folders with copies of grassknoted/asl-alphabet, separated by spaces

PYTHON ?= python3
DATA   ?= sample
REPORT ?= report
BIN    := .venv/bin

# An empty variable counts as not set.
export ASL_SIGNS_ARCH   := $(or $(ARCH),$(ASL_SIGNS_ARCH))
export ASL_SIGNS_SIZE   := $(or $(SIZE),$(ASL_SIGNS_SIZE))
export ASL_SIGNS_BS     := $(or $(BS),$(ASL_SIGNS_BS))
export ASL_SIGNS_EPOCHS := $(or $(EPOCHS),$(ASL_SIGNS_EPOCHS))
export ASL_SIGNS_SPLIT  := $(or $(SPLIT),$(ASL_SIGNS_SPLIT))
export ASL_SIGNS_FAST   := $(or $(FAST),$(ASL_SIGNS_FAST))
export ASL_SIGNS_RECIPE := $(or $(RECIPE),$(ASL_SIGNS_RECIPE))

.PHONY: help run test lab bench reader install prepare docs wheel release clean

help:
	@sed -n '/^# Two/,/^$$/s/^# \{0,1\}//p' Makefile
	@echo "make lab      open the lessons in JupyterLab (with DATA, as above)"
	@echo "make bench    measure the fast way against the plain recipe (QUICK=1: briefly)"
	@echo "make prepare  after editing notebooks: modules, fresh outputs, README"
	@echo "make docs     every notebook and module as plain HTML, in _docs/"
	@echo "make wheel    the library as one file, in dist/: for Colab, Kaggle, or another machine"
	@echo "make release VERSION=0.2.0   the version in every place, a commit, a tag, and dist/"
	@echo "make clean    remove .venv and report/"

# The drawn sample is small enough to be cached anywhere. FAST=0 decodes it in every epoch.
run: export ASL_SIGNS_FAST := $(or $(FAST),$(ASL_SIGNS_FAST),$(if $(filter sample,$(DATA)),1))
run: .venv/installed
	@echo "Running the lessons on: $(DATA)"
	@$(BIN)/python tools/lessons.py run --data "$(DATA)" --report "$(REPORT)"

test: .venv/installed
	@$(BIN)/python tests/everything.py

lab: .venv/installed
	@ASL_SIGNS_DATA="$$(PYTHONPATH=tools $(BIN)/python -c 'import sys; from lessons import absolute; print(absolute(sys.argv[1]))' "$(DATA)")" \
		$(BIN)/jupyter lab --notebook-dir nbs

bench: .venv/installed
	@$(BIN)/python bench/bench.py $(if $(QUICK),--quick)

# MediaPipe is an extra; its model is fetched once, unless ASL_SIGNS_HAND_MODEL says where it is.
reader: .venv/installed
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[hands,export,train]'
	@$(BIN)/python -m asl_signs.models.recipe $(FILM) $(if $(PEOPLE),--people $(PEOPLE)) --out $(or $(OUT),reader)
	@$(BIN)/python -m asl_signs.models.export $(or $(OUT),reader) $(or $(OUT),reader)/bundle $(firstword $(FILM))

install: .venv/installed

# Installed again only when what is to be installed has changed.
.venv/installed: settings.ini setup.py pyproject.toml
	@echo "Installing into .venv (a few minutes the first time; torch is large)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asl_signs needs Python 3.11 or newer, and $(PYTHON) is older. Name a newer one: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

# The order matters: modules come from the notebooks, outputs from the modules, the README from the outputs.
prepare: .venv/installed
	$(BIN)/python tools/lessons.py stamp
	$(BIN)/nbdev-export
	$(BIN)/python tools/lessons.py refresh
	$(BIN)/nbdev-clean
	$(BIN)/python tools/lessons.py readme

docs: .venv/installed
	@$(BIN)/python tools/docs.py

wheel: .venv/installed
	@$(BIN)/python -m build --no-isolation --wheel --outdir dist . >/dev/null
	@ls dist/*.whl

release: .venv/installed
	@$(BIN)/python tools/release.py "$(VERSION)"

clean:
	rm -rf .venv $(REPORT)
