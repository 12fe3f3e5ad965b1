"""What a verification and a check-up look like on a terminal."""

import io

import pytest
from rich.console import Console

from poolproof.isolation.doctor import examine
from poolproof.isolation.runs.records import Leak
from poolproof.isolation.runs.steps import Run
from poolproof.isolation.verify import Bounds, judge
from poolproof.report import checkup, verification
from tests.unit.isolation.recorded import case, run

pytestmark = pytest.mark.unit


def console() -> Console:
    return Console(file=io.StringIO(), width=140, soft_wrap=True)


def text(to: Console) -> str:
    assert isinstance(to.file, io.StringIO)
    return to.file.getvalue()


def leaky(tests: int) -> list[Run]:
    leak = Leak(resource="thread", what="poller", where="app.py:3")
    cases = [case(f"t{number}", leaks=(leak,)) for number in range(tests)]
    return [run("serial", *cases, b="passed"), run("parallel", *cases, b="failed", code=1)]


def test_a_verification_shows_runs_gates_findings_and_the_verdict() -> None:
    to = console()

    verification.show(judge(leaky(1), Bounds(), interrupted=True), to)

    shown = text(to)
    rows = [" ".join(line.split()) for line in shown.splitlines()]
    assert "parallel 1 2 2 1 0 1.0 all under xdist" in rows
    assert "flakes invalid < 1% 1 of 2 changed their mind: 50.0%" in " ".join(rows)
    assert "\nparallel only: 1\n  b: bad in serial 0 of 1, parallel 1 of 1" in shown
    assert "t0: thread: poller\n    made at app.py:3" in shown
    assert shown.rstrip().endswith(
        "INVALID  2 runs in 2 s; interrupted: this is what was known by then"
    )


def test_of_many_findings_of_a_kind_the_first_are_shown() -> None:
    to = console()

    verification.show(judge(leaky(14), Bounds()), to)

    assert text(to).count("thread: poller") == verification.MOST_OF_A_KIND
    assert "  and 4 more, in --json" in text(to)


def test_what_tests_waited_for_locks_is_told() -> None:
    to = console()

    verification.show(judge([run("serial", case("a", waited=1.5))], Bounds()), to)

    assert "tests waited 1.5 s for each other's locks" in text(to)


def test_a_checkup_shows_symptoms_causes_and_advice() -> None:
    to = console()
    failing = case("f", "failed", at=9.0, message="Address already in use")

    checkup.show(examine([run("serial", failing), run("parallel", case("f"))]), to)

    shown = text(to)
    assert "\nf  polluted, address-in-use\n  cause: two tests use the same port" in shown
    assert "\n  first: `isolation.port()`" in shown
    assert "NOT COMPROMISED  1 of 10 symptoms (3 compromise a suite)" in shown
    assert "\nadvice: serial: the tests share" in shown


def test_of_many_failing_tests_the_first_are_shown() -> None:
    to = console()
    failing = {f"t{number}": "failed" for number in range(30)}

    checkup.show(examine([run("serial", **failing)]), to)

    assert "\nand 10 more failing tests, in --json" in text(to)
