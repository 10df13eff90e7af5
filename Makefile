.PHONY: help check test slow ci docs bench format floors
help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12
check: ## format, lint, layers, types, file sizes, tests (under two minutes)
	ruff format --check . && ruff check . && lint-imports && pyrefly check && python tools/size.py && pytest -n 2 -q --ignore=tests/docs
format: ## let ruff fix what it can
	ruff format . && ruff check --fix .
test: ## the default tests on two processes
	pytest -n 2 -q
slow: ## the minutes-long tests too: whole networks, ten thousand fuzzed inputs
	pytest -n 2 -q -m "slow or not slow"
ci: ## what the server runs, in a fresh clone and its own environments
	d=$$(mktemp -d) && git clone -q . $$d/clone && bash $$d/clone/.ci/run; s=$$?; rm -rf $$d; exit $$s
docs: ## build the site and run the commands in it
	sphinx-build -W -q -b html docs docs/_build/html && pytest -q tests/docs
bench: ## Chanzi and its rivals side by side on this machine (minutes)
	python bench/run.py
floors: ## rewrite requirements/floors.txt after a floor changed
	python tools/floors.py
