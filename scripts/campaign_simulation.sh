#!/bin/sh
# The long runs of the simulation: one plan in a hundred fresh processes under random hash seeds, and its history
# on every Python that is found.
#
# usage: scripts/campaign_simulation.sh [PYTEST ARGUMENT...]
set -eu
cd "$(dirname "$0")/.."
export POOLPROOF_REPEATS="${POOLPROOF_REPEATS:-100}"
exec "${PYTHON:-python}" -m pytest tests/integration/test_simulation_repeats.py tests/unit/simulation "$@"
