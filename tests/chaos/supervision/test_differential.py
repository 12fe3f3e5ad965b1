"""Random trees and scripts, played by Erlang/OTP and by us: there must be no difference at all."""

import os
from typing import Any

import pytest
import record_otp
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from scenarios import scenarios

from poolproof.supervision.conformance import Kind, play

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not record_otp.available(), reason="`erl` is not installed"),
]

BATCH = 25
SCRIPTS = int(os.environ.get("POOLPROOF_DIFFERENTIAL_SCRIPTS", "50"))
SEED = int(os.environ.get("POOLPROOF_DIFFERENTIAL_SEED", "1"))


@seed(SEED)
@settings(
    max_examples=max(1, SCRIPTS // BATCH),
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(batch=st.lists(scenarios(), min_size=BATCH, max_size=BATCH))
def test_random_scripts_go_as_in_otp(batch: list[Any]) -> None:
    """Each script of a batch gives the same events in Erlang, with coroutines, and with doubles."""
    differences = [text for recorded in record_otp.record(batch) for text in _differences(recorded)]

    assert not differences, "\n\n".join(differences[:3])


def _differences(recorded: dict[str, Any]) -> list[str]:
    kinds: tuple[Kind, ...] = ("coroutine", "double")
    played = ((kind, play(recorded, kind=kind, clock="whole_seconds")) for kind in kinds)
    return [_difference(recorded, kind, events) for kind, events in played if events != recorded["events"]]


def _difference(recorded: dict[str, Any], kind: str, ours: list[Any]) -> str:
    theirs = recorded["events"]
    at = next((i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), -1)
    return (
        f"{kind}: event {at}: OTP {theirs[at:at + 4]}, ours {ours[at:at + 4]}\n"
        f"tree {recorded['tree']}\nscript {recorded['script']}\nOTP  {theirs}\nours {ours}"
    )
