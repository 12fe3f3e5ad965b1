# Sourced by the run_*_tests.sh beside it: one run of pytest, and the line that says what came of it.
#
# POOLPROOF_RESULTS       the directory that gets NAME.xml, pytest's results; by default one that is gone afterwards
# POOLPROOF_COVERAGE  if set, everything runs under coverage
# shellcheck shell=bash

# pytest ends with 2 on Ctrl-C, and also on an error in collection: the signal itself tells which.
trap 'exit 130' INT
trap 'exit 143' TERM

# Prints the comment at the head of the calling script, if --help is among the arguments, and exits.
suite_help() {
  local argument
  for argument; do
    if [[ $argument == --help || $argument == -h ]]; then
      sed -n '2,/^[^#]/{/^[^#]/d; s/^# \{0,1\}//p}' "$0"
      exit 0
    fi
  done
}

# suite_module MODULE [ARGUMENT...]: runs a module, under coverage if that is asked for.
suite_module() {
  if [[ -n ${POOLPROOF_COVERAGE:-} ]]; then
    coverage run -m "$@"
  else
    python -m "$@"
  fi
}

suite_make_directory() {
  [[ -z ${POOLPROOF_RESULTS:-} ]] || return 0
  POOLPROOF_RESULTS=$(mktemp -d)
  trap 'rm -rf "$POOLPROOF_RESULTS"' EXIT
}

# suite_pytest NAME [ARGUMENT...]: runs the tests in tests/NAME that have the marker NAME; returns pytest's exit code.
suite_pytest() {
  local name=$1 argument where="tests/$1"
  shift
  suite_make_directory
  for argument; do
    case $argument in tests/* | ./tests/* | "$POOLPROOF_ROOT"/tests/*) where= ;; esac
  done
  suite_module pytest ${where:+"$where"} -m "$name" --junitxml="$POOLPROOF_RESULTS/$name.xml" "$@"
}

# suite NAME [ARGUMENT...]: suite_pytest, then the summary line; exits with pytest's exit code.
suite() {
  local began=$EPOCHREALTIME status=0
  suite_pytest "$@" || status=$?
  python scripts/summary.py "$1" --exit "$status" --began "$began" "$POOLPROOF_RESULTS/$1.xml"
  exit "$status"
}
