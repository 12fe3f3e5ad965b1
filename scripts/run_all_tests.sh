#!/usr/bin/env bash
# Runs the unit, integration, chaos and performance tests, in this order; of the last three those not marked `slow`.
#
#   scripts/run_all_tests.sh [PYTEST ARGUMENT...]      the arguments go to each of the four
#
# It stops at the first that fails. The first two run under branch coverage, child processes included, but for those of
# modules that use the fixture `unmeasured`. (The last measures times, and the chaos tests judge processes that are
# killed at any line: neither shall be those of a tracer.) The figure is printed, its pages are in htmlcov, and less than
# the floor in pyproject.toml is a failure. A failure keeps the runs, the logs and the coverage, and says where.
#
# Exit code: 0 all passed and enough is covered; 1 some tests failed, or too little is covered; else that of the script
# that failed (its --help says more).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

# Short, and outside of the tree: sockets live below it, and their paths may have 107 characters.
kept=$(mktemp -d "${TMPDIR:-/tmp}/poolproof-tests.XXXXXX")
export POOLPROOF_RESULTS=$kept POOLPROOF_COVERAGE=yes COVERAGE_FILE=$kept/coverage PYTEST_DEBUG_TEMPROOT=$kept

# shellcheck disable=SC2317  # called by the trap
farewell() {
  local status=$?
  if ((status)); then
    echo "all: failed with exit $status; runs, logs and coverage are kept in $kept" >&2
  else
    rm -rf "$kept"
  fi
}
trap farewell EXIT

# Prints the share that is covered, and fails if it is below the floor. What was written by halves, by a process that was
# killed, is told once: each report would look for such files again.
cover() {
  coverage combine --quiet "$kept" || return
  rm -f "$kept"/coverage.*
  coverage html --quiet --fail-under=0 && coverage report | tee -i "$kept/covered.txt"
}

began=$EPOCHREALTIME
for name in unit integration chaos performance; do
  printf '\n=== %s\n' "scripts/run_${name}_tests.sh"
  [[ $name == unit || $name == integration ]] || unset POOLPROOF_COVERAGE
  case $name in
  unit) how=(-n 2) ;;
  # What is slow is left to the scripts by themselves, and to run_campaign.sh: this one is run for every change.
  integration) how=(-n 4 --dist loadfile -m "integration and not slow") ;; # they wait more than they compute
  chaos) how=(-n 2 --dist loadfile -m "chaos and not slow") ;; # each file plays its trials once, side by side
  performance) how=(-m "perf and not slow") ;;
  esac
  "scripts/run_${name}_tests.sh" "${how[@]}" "$@" 2>&1 | tee -i "$kept/$name.log"
done

printf '\n=== coverage\n'
status=0
cover || status=1
figure=$(coverage report --format=total --fail-under=0 --precision=1 || echo "no")
python scripts/summary.py all "$kept"/{unit,integration,chaos,perf}.xml --exit "$status" --began "$began" \
  --also "; $figure % covered (pages: htmlcov/index.html)"
exit "$status"
