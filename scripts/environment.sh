# Sourced by the scripts beside it: makes the virtual environment ready, puts it first on PATH, goes to the project's root.
#
# The locked dependencies come by uv where there is one, else by venv and pip. It takes milliseconds when nothing has
# changed, and says nothing more than that it is at work unless it fails. Needed: bash, and Python 3.11 to 3.13 or uv.
#
# POOLPROOF_PYTHON       the interpreter, as a path or (3.12) a version; it gets an environment of its own beside .venv
# POOLPROOF_ENVIRONMENT  a directory that is ready, and taken as it is; what a script starts finds it set
# shellcheck shell=bash

POOLPROOF_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$POOLPROOF_ROOT" || return 4

environment_directory() {
  local chosen=${POOLPROOF_PYTHON:-}
  echo "$POOLPROOF_ROOT/.venv${chosen:+-${chosen//[^[:alnum:].]/_}}"
}

environment_fingerprint() {
  { pwd && cat pyproject.toml uv.lock requirements/dev.txt; } | cksum
}

environment_is_ready() {
  [[ -x $1/bin/python && -f $1/.ready && $(<"$1/.ready") == "$2" ]]
}

environment_fits() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

# Prints the interpreter to use: the one that was chosen, else the first that fits; fails if there is none.
environment_interpreter() {
  local candidate chosen=${POOLPROOF_PYTHON:-}
  if [[ -n $chosen ]]; then
    command -v "$chosen" || command -v "python$chosen"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11 python; do
    if environment_fits "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  return 1
}

environment_by_uv() {
  local venv=$1 python=()
  if [[ -n ${POOLPROOF_PYTHON:-} ]]; then
    python=(--python "$POOLPROOF_PYTHON")
  elif ! environment_fits "$venv/bin/python"; then
    python=(--python "$(environment_interpreter || echo '>=3.11,<3.14')")
  fi
  # Inexact: what a developer has installed beside the locked packages stays.
  UV_PROJECT_ENVIRONMENT=$venv uv sync --frozen --inexact --quiet "${python[@]}"
}

environment_by_pip() {
  local venv=$1 python
  if ! environment_fits "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    if ! python=$(environment_interpreter); then
      echo "expected Python 3.11 to 3.13 or uv, got ${POOLPROOF_PYTHON:-neither}: install one of them, or set POOLPROOF_PYTHON"
      return 1
    fi
    "$python" -m venv "$venv" || return
  fi
  local install=("$venv/bin/python" -m pip install --disable-pip-version-check --no-input --quiet)
  "${install[@]}" --require-hashes --requirement requirements/dev.txt &&
    "${install[@]}" --no-deps --no-build-isolation --editable .
}

environment_make() {
  local venv=$1
  if uv --version >/dev/null 2>&1; then
    environment_by_uv "$venv" && return
    echo "uv could not make it; trying venv and pip"
  fi
  environment_by_pip "$venv"
}

# One script sets up, any other waits for it (and for what it started, should it be killed) and finds the work done.
environment_set_up() (
  local venv=$1 wanted=$2 log
  if command -v flock >/dev/null; then
    flock 9
    environment_is_ready "$venv" "$wanted" && exit 0
  fi
  echo "setting up ${venv##*/} (once; minutes on a slow line)" >&2
  log=$(mktemp)
  trap 'rm -f "$log"' EXIT
  rm -f "$venv/.ready"
  if ! environment_make "$venv" >"$log" 2>&1; then
    cat "$log" >&2
    echo "could not set up $venv; what went wrong is above" >&2
    exit 4
  fi
  echo "$wanted" >"$venv/.ready"
) 9>"$1.lock"

environment() {
  local venv=${POOLPROOF_ENVIRONMENT:-} wanted
  if [[ -z $venv ]]; then
    venv=$(environment_directory)
    wanted=$(environment_fingerprint)
    environment_is_ready "$venv" "$wanted" || environment_set_up "$venv" "$wanted" || return 4
  fi
  export POOLPROOF_ENVIRONMENT=$venv VIRTUAL_ENV=$venv PATH=$venv/bin:$PATH
  unset PYTHONHOME PYTHONPATH
  unset PYTHONDONTWRITEBYTECODE # each of the thousands of processes would compile all that it imports
}

environment || return 4
