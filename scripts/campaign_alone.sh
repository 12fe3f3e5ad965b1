#!/usr/bin/env bash
# Five tests that must run alone, on four workers, under every --dist of pytest-xdist: 300 executions, each looking at
# who else is inside. Prints, for each --dist, how many were right, and what the waiting cost.
#
#   scripts/campaign_alone.sh [ARGUMENT OF scripts/alone.py...]
#
# Exit code: 0 all right; 1 some were not; 4 the environment could not be made.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
python scripts/alone.py "$@"
