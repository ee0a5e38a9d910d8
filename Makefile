# Two commands do everything on a fresh machine: `make demo` and `make test`. Each sets up .venv first.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
READY := $(VENV)/.ready

# The demo's corpus; another: make demo CORPUS=aesdd:PATH
CORPUS ?= data/mini-aesdd
DEMO := runs/demo
RECIPE ?= model3

# What is done without some bad files, which are named, ends with 1: AESDD has one.
NAMED_BAD = || [ $$? = 1 ]

# The folder of pretraining corpora, with clips.csv and aesdd/: make model CORPORA=PATH
CORPORA ?= ../shared/corpora
# The published network, or its first layers: model.safetensors of openai/whisper-base
WHISPER ?= ../shared/models/whisper-base-encoder-4.safetensors
MODEL := runs/model
LICENCE := research and non-commercial use only: corpora that it was trained on forbid others

.PHONY: setup demo test quick coverage lint docs web fuzz bench model clean

setup: $(READY)

# pip's own files say nothing about a broken install, so the mark is made last.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[dev]'
	touch $(READY)

demo: setup
	-$(VENV)/bin/thymos audit '$(CORPUS)' --out '$(DEMO)/audit'
	$(VENV)/bin/thymos evaluate '$(CORPUS)' --recipe $(RECIPE) --protocol recording --folds 5 --seed 0 \
		--out '$(DEMO)/$(RECIPE)-$(subst /,_,$(subst :,_,$(CORPUS)))' $(NAMED_BAD)
	$(VENV)/bin/thymos predict 'data/mini-aesdd/anger/a05 (2).opus' --timeline --explain --explain-out '$(DEMO)'

# Test files are dealt out to so many processes: more than the cores only swap.
JOBS ?= 2
PYTEST := $(RUN) -m pytest -n $(JOBS) --dist loadfile

# Compiled tests are kept, whatever the shell says: to rewrite and compile them anew is a third of their collection.
test quick: export PYTHONDONTWRITEBYTECODE =

test: setup
	$(PYTEST)

# What fails first after a change, in less than a minute.
quick: setup
	$(PYTEST) -q -m 'not slow and not real and not install'

# All tests, and which lines of the package none of them runs; in child processes, too.
coverage: setup
	$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-report=json:runs/coverage.json

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# The documentation as a site, in build/docs/index.html; what does not hold together is an error.
docs: setup
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --editable '.[docs]'
	$(RUN) scripts/command_reference.py
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict --quiet

# The page that needs no server, in build/web, for any host of plain files; Node's npm brings onnxruntime-web.
web: setup
	$(RUN) examples/web/build.py --out build/web

# Hostile files for the shipped recogniser; what it cannot bear is kept in runs/fuzz. Some forty minutes of one core; cut
# short, it goes on where it stopped.
FILES ?= 50000
COMMANDS ?= 2000
fuzz: setup
	$(RUN) tests/fuzz/fuzz.py --files $(FILES) --commands $(COMMANDS) --results docs/results

# make bench CORPUS=aesdd:PATH; side by side with the study's own stack, about half an hour
bench: setup
	$(RUN) benchmarks/speed.py $(if $(filter command line environment,$(origin CORPUS)),--corpus '$(CORPUS:aesdd:%=%)')

# The encoder and both recognisers again, from the corpora and Whisper's checkpoint: some five hours on two cores. What is
# shipped is $(MODEL)/encoder, and each bundle by `thymos export --without-encoder` once the encoder is in place.
# The general recogniser is calibrated on corpora left out in turn, two at a time, for which short fine-tunings do.
PRETRAIN = $(VENV)/bin/thymos pretrain '$(CORPORA)/clips.csv' --layers-file '$(WHISPER)' --seed 0
BRIEFLY := --steps 700 --batch 32 --set encoder_rate=5e-5 --set warm_up=100
LEFT_OUT := emovo-tess nemo-turev ravdess-ased
model: setup
	$(PRETRAIN) --out '$(MODEL)/pretrained' $(NAMED_BAD)
	$(VENV)/bin/thymos export '$(MODEL)/pretrained' --out '$(MODEL)/encoder'
	for pair in $(LEFT_OUT); do $(PRETRAIN) $(BRIEFLY) --leave-out "$${pair%-*}" --leave-out "$${pair#*-}" \
		--out "$(MODEL)/left-out/$$pair" || [ $$? = 1 ] || exit 1; done
	$(RUN) benchmarks/left_out.py '$(CORPORA)/clips.csv' 'aesdd:$(CORPORA)/aesdd' --out '$(MODEL)/left-out.json' \
		--encoders '$(MODEL)/encoder' $(LEFT_OUT:%='$(MODEL)/left-out/%')
	$(VENV)/bin/thymos train '$(CORPORA)/clips.csv' 'aesdd:$(CORPORA)/aesdd' --recipe thymos \
		--set 'start_from=$(MODEL)/encoder' --seed 0 --out '$(MODEL)/trained/thymos' $(NAMED_BAD)
	$(VENV)/bin/thymos train 'aesdd:$(CORPORA)/aesdd' --recipe thymos-aesdd \
		--set 'start_from=$(MODEL)/encoder' --seed 0 --out '$(MODEL)/trained/thymos-aesdd' $(NAMED_BAD)
	$(VENV)/bin/thymos export '$(MODEL)/trained/thymos' --calibration '$(MODEL)/calibration.json' $(NAMED) \
		--out '$(MODEL)/bundles/thymos'
	$(VENV)/bin/thymos export '$(MODEL)/trained/thymos-aesdd' $(NAMED) --out '$(MODEL)/bundles/thymos-aesdd'
NAMED = --licence '$(LICENCE)' --model-version 6

clean:
	rm -rf $(VENV) runs build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache benchmarks/study_stack/.venv
