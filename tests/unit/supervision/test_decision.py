"""The decision is a function of the situation and the event, and of nothing else."""

# ruff: noqa: FBT001 -- what Hypothesis or a table of parameters draws comes by name

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import pytest

from poolproof.supervision import NORMAL, SHUTDOWN, Backoff, ChildSpec, ExitReason, Policy, error
from poolproof.supervision.restart import (
    Again,
    Count,
    Drop,
    Exited,
    Finish,
    Later,
    Park,
    Report,
    Start,
    StartFailed,
    Status,
    Terminate,
    decide,
    expected_at_shutdown,
    intensity_exceeded,
)

pytestmark = pytest.mark.unit

S = 1_000_000_000
BOOM = error("boom")


@dataclass
class Row:
    spec: ChildSpec
    status: Status = "running"


@dataclass
class Situation:
    policy: Policy
    children: dict[Hashable, Row]
    restarts: Sequence[int] = ()
    dynamic: bool = False
    untouched: list[str] = field(default_factory=list)


async def worker() -> None:
    """Do nothing."""


def situation(*ids: str, **policy: object) -> Situation:
    rows: dict[Hashable, Row] = {name: Row(ChildSpec(id=name, start=worker)) for name in ids}
    return Situation(Policy(**policy), rows)  # type: ignore[arg-type]


def test_one_for_one_starts_the_child_again() -> None:
    plan = decide(situation("a", "b"), Exited("a", BOOM, 7))

    assert plan == (Report("child_terminated", "a", BOOM), Count(7), Start("a", "restart"))


def test_rest_for_one_stops_in_reverse_and_starts_in_order() -> None:
    plan = decide(situation("a", "b", "c", "d", strategy="rest_for_one"), Exited("b", BOOM, 7))

    assert plan[2:] == (
        Drop("b"),
        Terminate("d"),
        Terminate("c"),
        Start("b", "restart"),
        Start("c", "restart"),
        Start("d", "restart"),
    )


def test_decision_changes_nothing() -> None:
    """The same question twice gives the same plan."""
    asked = situation("a", "b", strategy="one_for_all")

    assert decide(asked, Exited("a", BOOM, 7)) == decide(asked, Exited("a", BOOM, 7))
    assert [row.status for row in asked.children.values()] == ["running", "running"]


def test_one_restart_too_many_ends_the_supervisor() -> None:
    asked = situation("a", "b", max_restarts=1)
    asked.restarts = [0]

    plan = decide(asked, Exited("a", BOOM, 5 * S))

    assert plan[-3:] == (Terminate("b"), Terminate("a"), Finish(SHUTDOWN))


def test_failed_restart_is_tried_again_by_way_of_the_mailbox() -> None:
    plan = decide(situation("a"), StartFailed("a", BOOM, "restart"))

    assert plan == (Report("start_error", "a", BOOM), Park("a"), Again("a"))


def test_backoff_stops_the_group_at_once_and_starts_it_later() -> None:
    backoff = Backoff(initial=1, maximum=3)
    asked = situation("a", "b", strategy="one_for_all", backoff=backoff, max_restarts=9)
    asked.restarts = [0, 1]

    plan = decide(asked, Exited("a", BOOM, 2))

    assert plan[1:] == (Count(2), Terminate("b"), Park("a"), Later("a", 3))


@pytest.mark.parametrize(("gap", "exceeded"), [(1.0, True), (1.000000001, False), (0.0, True)])
def test_fine_window_is_inclusive_to_the_nanosecond(gap: float, exceeded: bool) -> None:
    policy = Policy(max_restarts=1, max_seconds=1)

    assert intensity_exceeded(policy, [900_000_000], 900_000_000 + round(gap * S)) is exceeded


@pytest.mark.parametrize(
    ("first", "gap", "exceeded"), [(0.0, 1.9, True), (0.9, 1.2, False), (0.1, 1.2, True)]
)
def test_whole_seconds_depend_on_the_phase(first: float, gap: float, exceeded: bool) -> None:
    """OTP's clock: with a period of 1 s, a gap of 1.2 s is fatal or not."""
    policy = Policy(max_restarts=1, max_seconds=1, clock="whole_seconds")

    assert intensity_exceeded(policy, [round(first * S)], round((first + gap) * S)) is exceeded


@pytest.mark.parametrize(
    ("restart", "shutdown", "reason", "expected"),
    [
        ("permanent", 5, SHUTDOWN, True),
        ("permanent", 5, NORMAL, False),
        ("transient", 5, NORMAL, True),
        ("permanent", "brutal_kill", SHUTDOWN, False),
        ("permanent", "brutal_kill", ExitReason("killed"), True),
        ("temporary", "brutal_kill", SHUTDOWN, True),
        ("temporary", 5, ExitReason("killed"), False),
    ],
)
def test_ends_that_a_shutdown_expects(
    restart: str, shutdown: object, reason: ExitReason, expected: bool
) -> None:
    spec = ChildSpec(id="a", start=worker, restart=restart, shutdown=shutdown)  # type: ignore[arg-type]

    assert expected_at_shutdown(spec, reason) is expected
