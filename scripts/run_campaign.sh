#!/usr/bin/env bash
# Runs what takes too long for every change: many repeats, many seeds, many examples, every crash point, every Python.
#
#   scripts/run_campaign.sh [--list] [--only NAME] [PYTEST ARGUMENT...]
#
# Campaigns, each of them a function in this file:
#   repeats   unit, integration and chaos tests 20 times over, beside a busy core: a test must not change its mind
#   examples  every property-based and stateful test with 1,000 examples (stacks of processes: 100), and how often each
#             rule of a machine was taken
#   seeds     each pool of the standard library with 20 seeds: the same promises are found broken each time
#   points    each pool of the standard library with every effect (kill, raise, hang) at every crash point
#   pythons   unit, integration and chaos tests on each of Python 3.11, 3.12 and 3.13 that is found
# and each scripts/campaign_NAME.sh, under its NAME.
#
# All are run, whatever comes of one. Exit code: 0 all passed; 1 some failed; 4 no such campaign, or the environment.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

POOLS=(multiprocessing.Pool concurrent.futures.ProcessPoolExecutor)
kept=.poolproof/campaigns/$(date -u +%Y%m%dT%H%M%SZ)-$$

# Runs a command beside a process that keeps a core busy, and that ends with this script at the latest.
beside_a_busy_core() {
  local busy status=0
  python -c 'import os; parent = os.getppid()
while os.getppid() == parent: pass' &
  busy=$!
  "$@" || status=$?
  kill "$busy"
  wait "$busy" || true
  return "$status"
}

three_suites() {
  scripts/run_unit_tests.sh "$@" && scripts/run_integration_tests.sh "$@" && scripts/run_chaos_tests.sh --tests-only "$@"
}

campaign_repeats() {
  local round
  for round in {1..20}; do
    echo "round $round of 20"
    beside_a_busy_core three_suites "$@" || return 1
  done
}

campaign_examples() {
  suite_module pytest tests -s -m hypothesis --hypothesis-profile campaign --timeout 1800 "$@"
}

# check NAME POOL [ARGUMENT...]: checks a pool and prints the line that pools_table.py reads.
check() {
  local name=$1 status=0
  shift
  suite_module poolproof check "$@" --json "$kept/$name.json" --out "$kept/$name" >&2 || status=$?
  printf '%s\t%s\t%s\n' "$name" "$status" "$kept/$name.json"
}

campaign_seeds() {
  local pool seed
  for pool in "${POOLS[@]}"; do
    for seed in {1..20}; do
      check "$pool-seed-$seed" "$pool" --seed "$seed"
    done | python scripts/pools_table.py --alike || return 1
  done
}

campaign_points() {
  local pool
  for pool in "${POOLS[@]}"; do
    check "$pool" "$pool" --faults none --crash-points all
  done | python scripts/pools_table.py
}

campaign_pythons() {
  local python found=0
  for python in python3.11 python3.12 python3.13; do
    if ! "$python" -c '' 2>/dev/null; then
      echo "$python: not found, so not tried"
      continue
    fi
    found=1
    POOLPROOF_PYTHON=$python POOLPROOF_ENVIRONMENT='' three_suites "$@" || return 1
  done
  ((found))
}

names() {
  declare -F | sed -n 's/^declare -f campaign_//p'
  local script
  for script in scripts/campaign_*.sh; do
    [[ ! -e $script ]] || basename "${script#scripts/campaign_}" .sh
  done
}

run() {
  local name=$1
  shift
  if declare -F "campaign_$name" >/dev/null; then
    "campaign_$name" "$@"
  else
    "scripts/campaign_$name.sh" "$@"
  fi
}

mapfile -t wanted < <(names)
case ${1:-} in
--list)
  printf '%s\n' "${wanted[@]}"
  exit 0
  ;;
--only)
  name=${2:-}
  if [[ " ${wanted[*]} " != *" $name "* || -z $name ]]; then
    echo "expected a campaign among ${wanted[*]}, got '$name'" >&2
    exit 4
  fi
  wanted=("$name")
  shift 2
  ;;
esac

mkdir -p "$kept"
passed=() failed=()
for name in "${wanted[@]}"; do
  printf '\n=== campaign %s\n' "$name"
  if run "$name" "$@"; then
    passed+=("$name")
  else
    failed+=("$name")
  fi
done
printf '\ncampaigns: %d passed (%s), %d failed (%s) in %d s; what they left is in %s\n' \
  "${#passed[@]}" "${passed[*]}" "${#failed[@]}" "${failed[*]}" "$SECONDS" "$kept"
((${#failed[@]} == 0))
