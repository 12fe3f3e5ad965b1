"""Random trees and scripts, played by Erlang/OTP and by us: there must be no difference at all."""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from poolproof.supervision.conformance import Kind, play
from scripts import record_otp
from tests.chaos.supervision.scenarios import scenarios

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not record_otp.available(), reason="`erl` is not installed"),
]

SCRIPTS = int(os.environ.get("POOLPROOF_DIFFERENTIAL_SCRIPTS", "50"))
SEED = int(os.environ.get("POOLPROOF_DIFFERENTIAL_SEED", "1"))


def test_random_scripts_go_as_in_otp() -> None:
    """Each script gives the same events in Erlang, with coroutines, and with doubles."""
    drawn = drawn_scenarios(SCRIPTS, SEED)

    # All are drawn first: Erlang plays them side by side, so their long pauses cost one pause.
    differences = [text for recorded in record_otp.record(drawn) for text in _differences(recorded)]

    assert len(drawn) >= SCRIPTS
    assert not differences, f"{len(differences)} differences\n\n" + "\n\n".join(differences[:3])


def drawn_scenarios(number: int, with_seed: int) -> list[Any]:
    """Return random scenarios; the same for the same seed."""
    drawn: list[Any] = []

    @seed(with_seed)
    @settings(
        max_examples=number,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenario=scenarios())
    def draw(scenario: Any) -> None:
        drawn.append(scenario)

    draw()
    return drawn


def _differences(recorded: dict[str, Any]) -> list[str]:
    kinds: tuple[Kind, ...] = ("coroutine", "double")
    played = ((kind, _play(recorded, kind)) for kind in kinds)
    return [
        _difference(recorded, kind, events)
        for kind, events in played
        if events != recorded["events"]
    ]


def _play(recorded: dict[str, Any], kind: Kind) -> list[Any]:
    try:
        return play(recorded, kind=kind, clock="whole_seconds")
    except Exception as error:  # noqa: BLE001 (an error of ours is a difference like any other)
        return [repr(error)]


def _difference(recorded: dict[str, Any], kind: str, ours: list[Any]) -> str:
    theirs = recorded["events"]
    at = next(
        (i for i, pair in enumerate(zip(theirs, ours, strict=False)) if pair[0] != pair[1]), -1
    )
    return (
        f"{kind}: event {at}: OTP {theirs[at : at + 4]}, ours {ours[at : at + 4]}\n"
        f"tree {recorded['tree']}\nscript {recorded['script']}\nOTP  {theirs}\nours {ours}"
    )
