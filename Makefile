# `make book` renders the book, `make test` checks everything; both make .venv first.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
NOTEBOOKS := $(wildcard book/*.ipynb)
# Progress bars would reach the outputs that are compared.  The nets are many small
# products, and threads that share one of those mostly wait for each other.
QUIET := TQDM_DISABLE=1 OMP_NUM_THREADS=1
# Two notebooks run side by side (-n 2), each from top to bottom (loadscope).
NBVAL := $(QUIET) $(BIN)/pytest --nbval --nbval-current-env -p no:cacheprovider -q \
	-n 2 --dist loadscope

LOWEST := _build/lowest
# They read the built book, or use the tools that build it, or (test_conventions.py)
# compare a page of it with the versions of requirements.txt.
BOOK_TESTS := test_citation.py test_conventions.py test_explorables_pages.py \
	test_pdf.py test_published.py test_reference.py test_site.py test_slides.py \
	test_teaching.py elsewhere.py pdf.py published.py \
	slide_claims.py slide_rule.py slide_text.py slides.py

.DEFAULT_GOAL := help
.PHONY: help book slides pdf test lint unit test-gpu notebooks execute record claims \
	conventions exercises pictures portable test-lowest bench benchmarks clean
.DELETE_ON_ERROR:

help:  ## list the commands
	@awk -F ':.*## *' '/^[a-z-]+:.*##/ {printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(READY)  ## render the book to _build/html
	@# Sphinx would not warn again of a page that it has kept: forget what failed.
	$(BIN)/jupyter-book build . -n -W --keep-going --quiet \
		|| { rm -rf _build/.doctrees; exit 1; }
	@echo "The book is in _build/html/index.html"

slides: $(READY)  ## make slides of the chapters in _build/slides
	$(BIN)/python tests/slides.py

pdf: book  ## print the book to _build/signal-all-the-way-down.pdf, with Chromium
	$(BIN)/python tests/pdf.py

test: lint notebooks unit  ## run everything that guards the project

lint: $(READY)  ## check style and layout of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: book slides  ## run the tests of the package, of the site and of the slides
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadfile
	@# Kernels for GPUs run on a CPU too, slowly, if Triton is told so before it starts.
	OMP_NUM_THREADS=1 TRITON_INTERPRET=1 $(BIN)/pytest -q -n 2 tests/test_torch_kernels.py \
		tests/test_benchmarks.py

test-gpu: $(READY)  ## run what needs a GPU, and the kernels on it
	$(BIN)/pytest -q -m gpu
	$(BIN)/pytest -q tests/test_torch_kernels.py

notebooks: $(READY)  ## run the notebooks and compare every output with the stored one
	$(NBVAL) $(NOTEBOOKS)

execute: $(READY)  ## run the notebooks and write their outputs back
	$(QUIET) $(BIN)/jupyter nbconvert --to notebook --inplace --execute \
		--ExecutePreprocessor.record_timing=False \
		--CoalesceStreamsPreprocessor.enabled=True --log-level=WARN $(NOTEBOOKS)
	$(MAKE) claims

record: $(READY)  ## measure the recorded figures anew, outputs and claims page included
	COMPANION_RECORD=1 $(MAKE) execute

claims: $(READY)  ## write the page of claims from the ledger and the recorded figures
	$(BIN)/python -m companion.claims book/recorded > book/claims.part
	mv book/claims.part book/claims.md

conventions: $(READY)  ## write the page of framework conventions from measurements
	$(BIN)/python tests/conventions.py > book/conventions.part
	mv book/conventions.part book/conventions.md

exercises: $(READY)  ## write the notebooks of exercises from those of the chapters
	$(BIN)/python tests/exercise_notebooks.py

pictures: $(READY)  ## draw what the explorables show where scripts are off
	$(BIN)/python tests/pictures.py

portable: $(READY)  ## run the published notebooks with Colab's versions on an old core
	$(QUIET) $(BIN)/python tests/elsewhere.py $(EXERCISES)

test-lowest: $(READY)  ## test the package with the oldest versions that it may have
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct \
		-e .[torch,tensorflow,plot,studies,test]
	@# Newer versions of what those need may call them out of date.
	OMP_NUM_THREADS=1 $(LOWEST)/bin/pytest -q -n 2 --dist loadfile -p no:cacheprovider \
		-W default::DeprecationWarning $(addprefix --ignore=tests/,$(BOOK_TESTS))

bench: $(READY)  ## measure ratios of speed and memory, and write them down
	$(BIN)/pytest -q -s tests/benchmarks/*.py

benchmarks: $(READY)  ## write the page of benchmarks from what was measured
	$(BIN)/python tests/benchmarks_page.py > book/benchmarks.part
	mv book/benchmarks.part book/benchmarks.md

clean:  ## remove what was built; .venv stays
	rm -rf _build dist .pytest_cache .ruff_cache .hypothesis

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else \
		"make: PYTHON must be Python 3.11 or newer; got " + sys.version)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	touch $@
