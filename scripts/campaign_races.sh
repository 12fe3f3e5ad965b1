#!/bin/sh
# Every planted concurrency bug under every policy, as a table; and 1,000 seeds in which nothing sound is accused.
set -eu
cd "$(dirname "$0")/.."
export POOLPROOF_RACE_SEEDS="${POOLPROOF_RACE_SEEDS:-1000}"
PYTHONPATH=. "${PYTHON:-python}" scripts/races_table.py
exec "${PYTHON:-python}" -m pytest tests/chaos/test_races.py --timeout 600 "$@"
