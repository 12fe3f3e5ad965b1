#!/bin/sh
# The long runs of the stack: the three layers twenty times under xdist, a death, an error and a hang at every
# line of its own code, and ten thousand kills under load.
#
# usage: scripts/campaign_stack.sh [RUNS [KILLS [SECONDS]]]
#   SECONDS: how long the sweep of its lines may take
set -eu
cd "$(dirname "$0")/.."
runs="${1:-20}" kills="${2:-10000}" seconds="${3:-3600}"
run=0
while [ "$run" -lt "$runs" ]; do
    run=$((run + 1))
    echo "the three layers, run $run of $runs"
    "${PYTHON:-python}" -m pytest -q -n 2 tests/integration/stack/test_three_layers.py
done
"${PYTHON:-python}" -m poolproof check poolproof.stack:full --faults none --crash-points all --time "$seconds"
exec "${PYTHON:-python}" -m scripts.kill_workers "$kills"
