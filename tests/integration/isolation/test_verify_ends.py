"""`poolproof verify` on runs that end before their time: by a test, by nobody, by Ctrl-C, or before they begin."""

import json
import signal
from pathlib import Path
from typing import Final

import pytest

from tests.integration.commands import until
from tests.integration.isolation.wrong_suites import command, found, ran, suite

# Each run of a suite is a start of pytest, which takes its time on a busy machine.
pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ENDS: Final = """
    import os, threading

    def test_before():
        pass

    def test_it():
        {ends}

    def test_after():
        pass
"""


def test_a_run_that_a_test_ends_is_told_with_what_was_lost(tmp_path: Path) -> None:
    folder = suite(tmp_path, test_it=ENDS.format(ends="os._exit(3)"))

    code, answer = found(folder, "verify", "--repeat", "1", "--one-process", "--seed", "1")

    lost = [f for f in answer["findings"] if f["kind"] == "lost"]
    assert (code, answer["verdict"]) == (1, "invalid")
    assert ("test_it.py::test_it", "fails") in {(f["test"], f["kind"]) for f in answer["findings"]}
    assert lost[-1]["advice"] == "its run ended in test_it.py::test_it (exit code 3)"


@pytest.mark.slow
def test_a_run_in_which_nothing_happens_any_more_is_ended(tmp_path: Path) -> None:
    folder = suite(tmp_path, test_it=ENDS.format(ends="threading.Event().wait()"))

    ended = ran(folder, "verify", "--ladder", "--one-process", "--stall", "10", "test_it.py")

    assert (ended.code, ended.left) == (1, [])
    assert "was ended, because nothing happened any more in test_it.py::test_it" in ended.out


def test_ctrl_c_ends_what_runs_and_tells_what_is_known(tmp_path: Path) -> None:
    once = "os.path.exists('second') and threading.Event().wait(); open('second', 'w').close()"
    folder = suite(tmp_path, test_it=ENDS.format(ends=once))
    running = command(folder, "verify", "--one-process", "--json", "found.json", "--out", "runs")
    second = folder / "runs" / "002" / "record.jsonl"
    until(
        lambda: second.exists() and b'"start","test":"test_it.py::test_it"' in second.read_bytes()
    )

    running.signal(signal.SIGINT)
    ended = running.end()

    answer = json.loads((folder / "found.json").read_bytes())
    assert (ended.code, ended.left) == (130, [])
    assert (answer["interrupted"], [run["mode"] for run in answer["runs"]]) == (True, ["serial"])
    assert not list(folder.glob(".leases/*/*"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--", "--unheard"), "unrecognized arguments: --unheard"),
        (("unreadable.py",), "ModuleNotFoundError"),
    ],
    ids=["no option", "no import"],
)
def test_what_pytest_does_not_take_is_refused_in_one_line(
    arguments: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    folder = suite(tmp_path, test_it="def test_it(): pass", unreadable="import unheard_of")

    ended = ran(folder, "verify", "--one-process", *arguments)

    assert (ended.code, ended.complaint.count("\n"), ended.left) == (2, 1, [])
    assert words in ended.complaint
