#!/usr/bin/env bash
# Runs the unit tests: those in tests/unit with the marker `unit`, one process a core. They start hardly any process.
#
#   scripts/run_unit_tests.sh [PYTEST ARGUMENT...]      for example -k history, -x, -n 0, tests/unit/test_tidy.py
#
# Exit code, as pytest's: 0 all passed; 1 some failed; 2 some could not be read; 3, 4 pytest or the environment could not
# be started as asked; 5 no tests, so nothing was proven, and it is no pass; 130, 143 interrupted.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
suite unit -n auto "$@"
