# The commands a newcomer types. Each does its own set-up, in virtual environments inside this folder.
#
#   make demo          the whole thing at work: server, OctoPrint, Klipper, cameras; Ctrl-C ends it
#   make demo CHECK=1  the same without a person; prints a table and fails on any miss
#   make demo FAIL=1   a print fails after a while: the server sees it, alerts, pauses and says why (CHECK=1 goes too)
#   make demo FARM=1   a farm: ten simulated printers more, and a queue of 30 jobs for all (CHECK=1 goes too)
#   make test          linters, types and all tests
#   make try-install   install.sh on a clean Debian with real systemd, for one and for three printers (as root; 3 min)
#   make bench         speed and memory, one JSON line a figure
#   make chaos         a simulated week in fast time with everything going wrong: is the history true? (3 min)
#   make crash         server and agents of a farm are killed 300 times: is each copy printed once? (KILLS=300; 5 min)
#   make fuzz          200,000 random and mutated inputs on everything that foreign bytes reach (1 min)
#   make bench-server  the server under load: 10,000 agents, and how many statuses a second it takes; then the fleet API
#                      over 200 printers, 100,000 prints and 10,000 queued jobs (6 min)

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
PYTEST := $(RUN) -m pytest -p no:cacheprovider

# Tests of real programs mostly wait for them: one more at a time than there are cores keeps the cores busy.
WAITING := -n $(shell expr $$(nproc) + 1)

.PHONY: translations help demo test try-install lint unit contract e2e browser bench bench-server chaos crash fuzz
.PHONY: coverage envs packages clean

help:
	@sed -n 's/^#   //p' Makefile

# The tests' own environment: our packages in place, with everything that tests and linters need.
$(VENV)/ready: setup.py scripts/bootstrap.sh
	@sh scripts/bootstrap.sh "$(PYTHON)" "$(VENV)"
	@touch $@

# What the hosts need: real OctoPrint and Moonraker, each with our built wheel, as a user installs it.
envs: $(VENV)/ready
	@$(RUN) -m demo.envs server agent moonraker octoprint1 octoprint2

# After a change of a text in the OctoPrint plugin: the catalogues anew; then translate what is empty, and once more.
translations: $(VENV)/ready
	@$(RUN) scripts/translations.py

packages:
	@sh scripts/packages.sh

demo: $(VENV)/ready
	@$(RUN) -m demo.run $(if $(CHECK),--check) $(if $(FAIL),--fail) $(if $(FARM),--farm) $(ARGS)

lint: $(VENV)/ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

unit: $(VENV)/ready
	$(PYTEST) tests/test_imports.py tests/unit

contract: packages envs
	$(PYTEST) $(WAITING) tests/contract
	PAUSE_CASES=1100 $(PYTEST) tests/unit/agent_core/test_pause_klipper.py tests/unit/agent_core/test_pause_marlin.py

e2e: packages envs
	$(PYTEST) $(WAITING) tests/e2e

browser: packages envs
	$(PYTEST) $(WAITING) tests/browser

# A skipped test counts as failed here: the set-up above has made all that they need.
test: export COMPLETE = 1
test: lint unit contract e2e browser

try-install:
	@PYTHON="$(PYTHON)" sh scripts/try-install.sh

coverage: packages envs
	$(PYTEST) tests/unit/agent_core tests/contract --cov=agent_core --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=95

bench: packages envs
	@$(RUN) -m bench $(ARGS)

chaos: $(VENV)/ready
	@$(RUN) -m bench.chaos $(ARGS)

crash: $(VENV)/ready
	@$(RUN) -m bench.crash $(if $(KILLS),--kills $(KILLS)) $(ARGS)

fuzz: $(VENV)/ready
	@$(RUN) -m bench.fuzz $(ARGS)

bench-server: $(VENV)/ready
	@$(RUN) -m bench.server_load $(ARGS)

clean:
	rm -rf .venv .venvs .cache .demo build dist *.egg-info
