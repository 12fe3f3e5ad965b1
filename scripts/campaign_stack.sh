#!/bin/sh
# The long runs of the stack: the three layers twenty times under xdist, then ten thousand kills under load.
#
# usage: scripts/campaign_stack.sh [RUNS [KILLS]]
set -eu
cd "$(dirname "$0")/.."
runs="${1:-20}" kills="${2:-10000}"
run=0
while [ "$run" -lt "$runs" ]; do
    run=$((run + 1))
    echo "the three layers, run $run of $runs"
    "${PYTHON:-python}" -m pytest -q -n 2 tests/integration/stack/test_three_layers.py
done
exec "${PYTHON:-python}" -m scripts.kill_workers "$kills"
