#!/bin/sh
# Finds a planted polluter among 500 tests, which may take 12 runs of pytest. The tests have 100 of them, and 10 runs.
#
# usage: scripts/campaign_bisect.sh [PYTEST ARGUMENT...]
set -eu
cd "$(dirname "$0")/.."
POOLPROOF_MODULES=20
export POOLPROOF_MODULES
exec "${PYTHON:-python}" -m pytest tests/integration/isolation/test_bisect.py -k among_many --durations=1 "$@"
