#!/bin/sh
# Verifies our own tests as a stranger's: alone, together, in parallel and shuffled, ten times each, every leak fatal.
#
# usage: scripts/campaign_verify.sh [REPEAT] [PYTEST ARGUMENT...]; REPEAT is 10 if not given, the arguments `tests -m
# "unit or integration"`. What each run recorded is kept; `poolproof doctor --from` reads it.
set -eu
cd "$(dirname "$0")/.."
repeat=10
case ${1:-} in
'' | *[!0-9]*) ;;
*)
  repeat=$1
  shift
  ;;
esac
[ $# -gt 0 ] || set -- tests -m "unit or integration"
kept=.poolproof/campaigns/verify-$(date -u +%Y%m%dT%H%M%SZ)-$$
mkdir -p "$kept"
echo "verify: $repeat rounds of $*; what they leave is in $kept"
exec "${PYTHON:-python}" -m poolproof verify --repeat "$repeat" --stall 600 --json "$kept/found.json" --out "$kept/runs" -- "$@"
