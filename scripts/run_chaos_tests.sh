#!/usr/bin/env bash
# The main job: proves poolproof on pools that are broken on purpose, then checks the pools of the standard library.
#
#   scripts/run_chaos_tests.sh [--tests-only | --pools-only] [PYTEST ARGUMENT...]
#
# First the tests in tests/chaos with the marker `chaos`. Then `poolproof check` on each pool of the standard library,
# and one table of what it found: the verdict, the broken promises by name, and how the crash points ended. What a
# check leaves (its report, plans and histories, for `poolproof replay`) is kept in .poolproof/chaos, for five runs.
#
# Exit code: that a pool is invalid is what the table is for, and no failure. 0 all tests passed and every pool was
# judged; 1 some tests failed; 3 a pool is unknown; 4 poolproof failed, or the environment; 5 no tests; 130, 143
# interrupted. A failure of the tests goes before one of the checks.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

POOLS=(
  multiprocessing.Pool
  concurrent.futures.ProcessPoolExecutor
  concurrent.futures.ThreadPoolExecutor
  multiprocessing.pool.ThreadPool
)

# Makes the directory of this run, and forgets all but the four before it.
make_directory() {
  local kept=.poolproof/chaos
  mkdir -p "$kept"
  find "$kept" -mindepth 1 -maxdepth 1 -type d | sort -r | tail -n +5 | xargs -r rm -rf --
  directory=$kept/$(date -u +%Y%m%dT%H%M%SZ)-$$
  mkdir "$directory"
}

check_pools() {
  local pool status
  make_directory
  for pool in "${POOLS[@]}"; do
    printf '\n=== poolproof check %s\n' "$pool"
    status=0
    suite_module poolproof check "$pool" --json "$directory/$pool.json" --out "$directory/$pool" || status=$?
    ((status < 128)) || exit "$status"
    printf '%s\t%s\t%s\n' "$pool" "$status" "$directory/$pool.json" >>"$directory/pools.tsv"
  done
  printf '\n'
  python scripts/pools_table.py <"$directory/pools.tsv"
}

tests=yes pools=yes
case ${1:-} in
--tests-only) pools= && shift ;;
--pools-only) tests= && shift ;;
esac

began=$EPOCHREALTIME tests_status=0 pools_status=0 also=
if [[ -n $tests ]]; then
  suite_pytest chaos "$@" || tests_status=$?
fi
if [[ -n $pools ]]; then
  # In a subshell with set -e in force, which the left side of || would lift.
  set +e
  (set -e && check_pools)
  pools_status=$?
  set -e
  ((pools_status < 128)) || exit "$pools_status"
  also="${#POOLS[@]} pools, exit $pools_status"
  ((pools_status)) || also="${#POOLS[@]} pools, all judged"
fi
if [[ -n $tests ]]; then
  python scripts/summary.py chaos "$POOLPROOF_RESULTS/chaos.xml" \
    --exit "$tests_status" --began "$began" --also "${also:+; $also}"
else
  printf 'chaos: %s in %d s\n' "$also" "$SECONDS"
fi
exit $((tests_status ? tests_status : pools_status))
