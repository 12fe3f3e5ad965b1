#!/usr/bin/env bash
# Runs the integration tests: those in tests/integration with the marker `integration`.
#
#   scripts/run_integration_tests.sh [--layer mock|bridge_mock|full|all] [PYTEST ARGUMENT...]
#
# --layer all, the default, runs every integration test, also those of no layer; any other layer runs its own alone.
# A line for each layer says what came of it. A layer without tests says `no tests`; asked for alone, it exits with 5.
#
# Exit code, as pytest's: 0 all passed; 1 some failed; 2 some could not be read; 3, 4 pytest or the environment could not
# be started as asked (an unknown layer is 4); 5 no tests, so nothing was proven, and it is no pass; 130, 143 interrupted.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

layers=(mock bridge_mock full)
previous=
for argument; do
  [[ $previous == --layer ]] && argument=--layer=$argument
  [[ $argument == --layer=* && $argument != --layer=all ]] && layers=("${argument#--layer=}")
  previous=$argument
done

began=$EPOCHREALTIME
status=0
suite_pytest integration "$@" || status=$?
python scripts/summary.py integration "$POOLPROOF_RESULTS/integration.xml" \
  --exit "$status" --began "$began" --layers "${layers[@]}"
exit "$status"
