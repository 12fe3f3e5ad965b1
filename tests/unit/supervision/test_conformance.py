"""What Erlang/OTP's own supervisor did, we do."""

import json
from pathlib import Path
from typing import Any

import pytest

from poolproof.supervision.conformance import Kind, play
from scripts import record_otp

pytestmark = pytest.mark.unit

RECORDINGS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "recordings" / "otp.json").read_text()
)
REAL = (
    "one_for_all fails part-way",
    "escalates three levels",
    "requests interleave with retries",
    "ignore at restart",
)


@pytest.mark.parametrize("kind", ["coroutine", "double"])
@pytest.mark.parametrize("recorded", RECORDINGS, ids=lambda recorded: recorded["name"])
def test_scenario_goes_as_in_otp(recorded: dict[str, Any], kind: Kind) -> None:
    """Every event, report and answer of the recording, in its order, and no other."""
    assert play(recorded, kind=kind) == recorded["events"]


@pytest.mark.parametrize("recorded", RECORDINGS, ids=lambda recorded: recorded["name"])
def test_whole_seconds_make_no_difference_here(recorded: dict[str, Any]) -> None:
    """The scenarios' gaps are so short or so long that both clocks agree."""
    assert play(recorded, kind="double", clock="whole_seconds") == recorded["events"]


def test_every_rule_is_in_the_table() -> None:
    """Each strategy, restart type and reason, and each rule that a recording can show."""
    rules = {
        rule
        for recorded in RECORDINGS
        for part in recorded["rule"].split()
        for rule in expanded(part)
    }

    assert len(RECORDINGS) >= 60
    assert rules >= {*range(1, 22), 23, 24, 25}


def expanded(part: str) -> range:
    first, _, last = part.partition("-")
    return range(int(first), int(last or first) + 1)


def test_recordings_are_of_this_script() -> None:
    """A changed recorder needs new recordings: run scripts/record_otp.py."""
    assert {recorded["script_sha256"] for recorded in RECORDINGS} == {record_otp.script_sha256()}
    assert {recorded["otp"] for recorded in RECORDINGS} == {"25"}


def test_recordings_can_be_made_again() -> None:
    """Erlang, where it is installed, still does what was recorded."""
    if not record_otp.available():
        pytest.skip("`erl` is not installed")
    some = [recorded for recorded in RECORDINGS if recorded["name"] in REAL]

    again = record_otp.record(some)

    assert len(some) == len(REAL)
    assert [one["events"] for one in again] == [one["events"] for one in some]
