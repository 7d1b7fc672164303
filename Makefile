# `make` lists the targets. Everything runs in .venv, which the first run sets up.

SETUP := scripts/setup_venv.sh
SETUP_INPUTS := $(SETUP) setup.py setup.cfg pyproject.toml constraints.txt
# A set-up for a sourced ROS 2 is not one for the wheels.
ROS := $(or $(ROS_DISTRO),wheels)
RUN := . .venv/environment.sh &&
PYTEST_ARGS ?= --durations=5

export PYTHON BAG CLOUD ODOM

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-faults lint layers tables docs dist clean

help: ## List the targets
	@printf 'make <target>, in a virtual environment of its own (.venv):\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-11s %s\n", $$1, $$2 }' Makefile
	@printf '\n  demo takes BAG=path [CLOUD=/topic ODOM=/topic] to run on your own rosbag2.\n'
	@printf '  PYTHON=python3.12 chooses the Python of a new set-up (3.10 to 3.13).\n'

demo: .venv/ready-$(ROS)-demo ## Find moving objects in a simulated drive, or in BAG=path
	@$(RUN) set -- && \
	if [ -n "$$BAG" ]; then set -- "$$@" "$$BAG"; fi && \
	if [ -n "$$CLOUD" ]; then set -- "$$@" --cloud "$$CLOUD"; fi && \
	if [ -n "$$ODOM" ]; then set -- "$$@" --odom "$$ODOM"; fi && \
	kdmos demo "$$@"

test: .venv/ready-$(ROS)-test ## Lint, check types and run all tests
	@lint=0; $(MAKE) --no-print-directory lint || lint=1; \
	$(RUN) python -m pytest $(PYTEST_ARGS) || exit 1; \
	if [ $$lint != 0 ]; then echo 'kdmos_ros: error: lint failed, see above' >&2; exit 1; fi

test-fast: .venv/ready-$(ROS)-test ## Run the quick tests only, and none of the node over DDS
	@$(RUN) python -m pytest -m "not slow" --ignore test/ros $(PYTEST_ARGS)

test-faults: .venv/ready-$(ROS)-test ## Try faults on purpose, each many times, and report what was lost
	@$(RUN) KDMOS_FAULTS=long python -m pytest test/faults $(PYTEST_ARGS)

lint: .venv/ready-$(ROS)-test ## Lint, check types, spelling and released files only
	@$(RUN) { failed=0; \
	ruff check . || failed=1; \
	ruff format --check . || failed=1; \
	mypy || failed=1; \
	lint-imports || failed=1; \
	git ls-files -z | xargs -0 codespell || failed=1; \
	python scripts/check_files.py || failed=1; \
	exit $$failed; }

layers: .venv/ready-$(ROS)-test ## Draw docs/layers.svg: which room may import which
	@$(RUN) python scripts/draw_layers.py

tables: .venv/ready-$(ROS)-test ## Write the tables of README and docs/ that come from code and models
	@$(RUN) python scripts/update_tables.py

docs: .venv/ready-$(ROS)-test ## Build the pages of docs/ as a site in site/
	@$(RUN) mkdocs build --strict --quiet && echo "site/index.html"

dist: .venv/ready-$(ROS)-test ## Build sdist, wheel and archives of the models in dist/
	@$(RUN) rm -rf dist && python -m build && python scripts/check_files.py --archive dist/models

clean: ## Remove .venv and everything that make, pip and the tools wrote
	rm -rf .venv build dist site *.egg-info demo_output
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/ready-$(ROS)-%: $(SETUP_INPUTS)
	@sh $(SETUP) $*
