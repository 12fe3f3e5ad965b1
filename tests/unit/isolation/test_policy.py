"""What is done about a leak: actions from the ini file, pins from theirs, and what is refused."""

import datetime as dt
from pathlib import Path
from typing import Final

import pytest

from poolproof.isolation.policy import Mode, Pin, Policy, PolicyError, parse_actions, read_pins

pytestmark = pytest.mark.unit

PIN: Final = """
[[pin]]
test = "tests/test_a.py::test_b"
resource = "thread"
owner = "ana"
reason = "the client keeps its pinger"
expires = 2999-12-31
"""


@pytest.mark.parametrize(("mode", "expected"), [("fail", "fail"), ("report", "warn")])
def test_a_leak_fails_unless_the_mode_is_to_report(mode: Mode, expected: str) -> None:
    assert Policy(mode=mode, actions={}).action("thread") == expected


def test_what_the_policy_restores_is_restored_in_every_mode() -> None:
    assert Policy(mode="report", actions={"cwd": "restore"}).action("cwd") == "restore"


def test_class_attributes_are_not_looked_at_unless_asked_for() -> None:
    assert Policy(mode="fail", actions={}).action("class-attribute") == "ignore"


def test_actions_are_lines_of_kind_and_action() -> None:
    lines = ["thread: warn", "", " cwd :restore"]

    assert parse_actions(lines, ["thread", "cwd"]) == {"thread": "warn", "cwd": "restore"}


@pytest.mark.parametrize("line", ["thread", "thread: forgive", "threads: warn"])
def test_a_line_that_is_no_action_says_what_was_expected(line: str) -> None:
    with pytest.raises(
        PolicyError, match=r"^poolproof_policy: expected .* cwd, thread, got '"
    ) as error:
        parse_actions([line], ["thread", "cwd"])

    assert repr(line) in str(error.value)


def test_a_pin_has_its_five_keys(tmp_path: Path) -> None:
    file = tmp_path / "pins.toml"
    file.write_text(PIN)

    assert read_pins(file) == (
        Pin(
            test="tests/test_a.py::test_b",
            resource="thread",
            owner="ana",
            reason="the client keeps its pinger",
            expires=dt.date(2999, 12, 31),
        ),
    )


def test_no_file_is_no_pins(tmp_path: Path) -> None:
    assert read_pins(tmp_path / "pins.toml") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[pin]", "expected TOML with tables"),
        (PIN.replace('owner = "ana"\n', ""), "expected a pin to have expires, owner, "),
        (PIN.replace('"ana"', '" "'), "expected text for owner of a pin, got none"),
        (PIN.replace("2999-12-31", '"soon"'), "expected `expires` to be a date such as"),
        ("pin = [3]", "expected a pin to have .* got 3"),
    ],
)
def test_a_file_of_pins_that_cannot_be_meant_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    file = tmp_path / "pins.toml"
    file.write_text(text)

    with pytest.raises(PolicyError, match=message):
        read_pins(file)
