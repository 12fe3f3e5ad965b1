#!/bin/sh
# The long runs of the supervision tree: 1,000 machine examples, the zoo, 500 random scripts against Erlang/OTP.
#
# usage: scripts/campaign_supervision.sh [SEED]; without `erl` the last part is skipped, and says so.
set -eu
cd "$(dirname "$0")/.."
export POOLPROOF_MACHINE_EXAMPLES="${POOLPROOF_MACHINE_EXAMPLES:-1000}"
export POOLPROOF_DIFFERENTIAL_SCRIPTS="${POOLPROOF_DIFFERENTIAL_SCRIPTS:-500}"
export POOLPROOF_DIFFERENTIAL_SEED="${1:-1}"
echo "seed $POOLPROOF_DIFFERENTIAL_SEED: $POOLPROOF_MACHINE_EXAMPLES machine examples," \
    "$POOLPROOF_DIFFERENTIAL_SCRIPTS differential scripts"
exec "${PYTHON:-python}" -m pytest tests/chaos/supervision
