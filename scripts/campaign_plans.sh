#!/bin/sh
# Plans of 40 jobs and 9 faults that fail on real processes: shrunk to their cause, confirmed 10 times.
set -eu
cd "$(dirname "$0")/.."
export POOLPROOF_LONG_PLANS=1
exec "${PYTHON:-python}" -m pytest tests/integration/stateful/test_demotion.py -s "$@"
