#!/bin/sh
# A thousand participants beside a busy core, 50 runs each: barriers, conditions, all started at one moment.
set -eu
cd "$(dirname "$0")/.."
export POOLPROOF_RUNS="${POOLPROOF_RUNS:-50}"
exec "${PYTHON:-python}" -m pytest tests/integration/test_sync_beside_a_busy_core.py --timeout 600 "$@"
