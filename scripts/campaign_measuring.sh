#!/bin/sh
# Load, percentiles and verdicts at full length: a million samples, 50 comparisons of A with A, a stall of 6 seconds.
# By name only: steps, which needs poolproof[change-points].
set -eu
cd "$(dirname "$0")/.."
status=0
for claim in ${*:-percentiles stall capacity null planted}; do
  "${PYTHON:-python}" scripts/measure_claims.py "$claim" || status=1
done
exit "$status"
