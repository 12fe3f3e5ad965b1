#!/usr/bin/env bash
# Interrupts checks, campaigns and scenarios at random moments, by SIGINT, SIGTERM and SIGKILL in turn: once the next
# command has come, no process, lease or file of theirs may be left.
#
#   scripts/campaign_interrupts.sh [TIMES [SEED]]
#
# Prints a line for each run. What others put into /dev/shm meanwhile is taken for theirs, too. Exit code: 0 nothing was left; 1 something was; 4 the environment could not be made.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
exec python -m scripts.interrupt_runs "$@"
