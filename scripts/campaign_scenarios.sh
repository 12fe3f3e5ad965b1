#!/usr/bin/env bash
# Plays every scenario on our stack: 1,000 seeds on each simulated layer, 20 on processes; none may fail.
#
#   scripts/campaign_scenarios.sh [--seeds N] [--real N] [--jobs J] [--only NAME,NAME]
#
# Prints a line for each scenario and layer, with how many were clean and the receipts of each kind of deed. A run of which
# a deed has no receipt is unknown, and counts as failed. Exit code: 0 all clean; 1 some were not; 4 the environment.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec python scripts/play_scenarios.py "$@"
