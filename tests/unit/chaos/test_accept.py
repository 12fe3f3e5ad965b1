"""Known violations: which entry one covers, and what is said of a file that cannot be used."""

import datetime as dt
from pathlib import Path

import pytest

from poolproof.chaos.accept import EXAMPLE, Acceptance, load
from poolproof.chaos.result import Entry
from poolproof.checkers import Verdict
from poolproof.errors import UsageError

pytestmark = pytest.mark.unit

TODAY = dt.date(2026, 5, 4)
KNOWN = """[[accept]]
invariant = "leak"
reason = "known"
expires = {expires}
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "accept.toml"
    file.write_text(text)
    return file


def entry(invariant: str = "leak", fault: str = "kill-busy", verdict: Verdict = "invalid") -> Entry:
    return Entry(invariant=invariant, verdict=verdict, fault=fault)


def test_the_example_that_is_shown_can_be_used(tmp_path: Path) -> None:
    (one,) = load(written(tmp_path, EXAMPLE), TODAY)

    assert one.covers(entry("unresolved-job", "kill-busy"))
    assert one.reason == "python/cpython#66587, no fix in sight"


@pytest.mark.parametrize(
    ("fault", "seen", "expected"),
    [
        ("kill-busy", entry(), True),
        ("", entry(), True),
        ("", entry(fault="crash-point:kill"), True),
        ("kill-idle", entry(), False),
        ("", entry("orphan"), False),
        ("", entry(verdict="unknown"), False),
        ("", entry(verdict="by contract"), False),
    ],
)
def test_what_an_acceptance_covers(fault: str, seen: Entry, *, expected: bool) -> None:
    one = Acceptance(invariant="leak", fault=fault, reason="known", expires=TODAY)

    assert one.covers(seen) is expected


def test_it_is_valid_until_the_end_of_its_last_day(tmp_path: Path) -> None:
    assert len(load(written(tmp_path, KNOWN.format(expires="2026-05-04")), TODAY)) == 1


def test_an_expired_one_is_refused_by_name(tmp_path: Path) -> None:
    file = written(tmp_path, KNOWN.format(expires="2026-05-03"))
    with pytest.raises(UsageError) as raised:
        load(file, TODAY)

    assert str(raised.value) == (
        f"expected acceptances that are still valid in {file}, got expired ones: leak (2026-05-03);"
        " decide anew"
    )


def test_one_without_a_reason_is_refused(tmp_path: Path) -> None:
    text = KNOWN.format(expires="2030-01-01").replace("known", "  ")

    with pytest.raises(UsageError, match=r"^expected a reason for each acceptance in .*empty one$"):
        load(written(tmp_path, text), TODAY)


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("[[accept", "Expected"),
        ("", "missing required field `accept`"),
        ("accept = 1", "Expected `array`"),
        ("[[accept]]\ninvariant = 'leak'", "missing required field `reason`"),
        (KNOWN.format(expires="'soon'"), "Invalid RFC3339 encoded date"),
        (KNOWN.format(expires="2030-01-01") + "faults = 'x'", "unknown field `faults`"),
    ],
)
def test_what_cannot_be_read_is_refused_and_an_example_shown(
    text: str, because: str, tmp_path: Path
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(UsageError) as raised:
        load(file, TODAY)

    assert str(raised.value).startswith(f"expected a file of accepted violations in {file}, got: ")
    assert because in str(raised.value)
    assert str(raised.value).endswith(f"; write\n{EXAMPLE}")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.toml", TODAY)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "accept.toml"
    file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(UsageError, match=r"^expected a file of accepted violations in "):
        load(file, TODAY)
