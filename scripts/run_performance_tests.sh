#!/usr/bin/env bash
# Runs the performance tests: those in tests/perf with the marker `perf` (or its alias `performance`).
#
#   scripts/run_performance_tests.sh [PYTEST ARGUMENT...]      for example -k start, -s
#   scripts/run_performance_tests.sh --quick [PYTEST ARGUMENT...]
#                  those that are not slow; then compares what they measured with docs/baselines/layers.json, and writes
#                  .poolproof/performance/report.md, with a picture where matplotlib is (poolproof[perf])
#   scripts/run_performance_tests.sh --micro
#                  no tests: has pyperf measure the functions of tests/perf/micro.py, which takes two minutes, keeps
#                  .poolproof/performance/micro.pyperf.json, and compares with docs/baselines/micro.json; 3: inconclusive
#   scripts/run_performance_tests.sh --full
#                  all of them; then plays the planned loads, which takes 20 minutes, and writes docs/planned_loads
#
# Exit code, as pytest's: 0 all passed; 1 some failed, or a measure is slower than the baseline, or a load was breached; 2
# some could not be read; 3 a load was void; 3, 4 pytest or the environment could not be started as asked; 5 no tests, so
# nothing was proven, and it is no pass; 130, 143 interrupted.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/suite.sh"
suite_help "$@"
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"

measured=.poolproof/performance/bench.json

# Runs the tests, keeps what they measured, and compares it with the baseline.
quick() {
  local status=0 began=$EPOCHREALTIME
  rm -f "$measured"
  suite_pytest perf -m "perf and not slow" --poolproof-bench "$measured" "$@" || status=$?
  if ((status == 0)); then
    python scripts/performance_report.py "$measured" || status=$?
  fi
  python scripts/summary.py perf --exit "$status" --began "$began" "$POOLPROOF_RESULTS/perf.xml"
  return "$status"
}

micro() {
  local kept=docs/baselines out=.poolproof/performance
  mkdir -p "$out"
  python -m poolproof bench "tests/perf/micro.py:frame,events,queue,permit,pick,recorded" --micro --for 100ms \
    --pyperf "$out/micro.pyperf.json" --json "$out/micro.json"
  [[ ! -e $kept/micro.json ]] || python -m poolproof baseline compare micro "$out/micro.json" --dir "$kept" --effect 20
}

full() {
  local status=0 loads=0
  suite_pytest perf "$@" || status=$?
  python scripts/planned_loads.py --page docs/planned_loads || loads=$?
  return $((status > loads ? status : loads))
}

case ${1:-} in
--quick)
  shift
  quick "$@"
  ;;
--micro) micro ;;
--full)
  shift
  full "$@"
  ;;
*) suite perf "$@" ;;
esac
