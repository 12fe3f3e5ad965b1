"""Claims and points: what is counted, what is unmet, and that a point has chance of its own."""

from typing import Any

import pytest

from poolproof import simulation
from poolproof.simulation import Schedule, buggify, current
from poolproof.simulation.chance import Points
from poolproof.simulation.claims import ClaimError, Claims, always

pytestmark = pytest.mark.unit


def test_an_always_that_does_not_hold_raises_at_once() -> None:
    always(1 in (1, 2), "one is one")

    with pytest.raises(ClaimError, match=r"^always 'one is two' at .*did not hold, one=1$"):
        _broken()


def _broken() -> None:
    """Claim what fails, and leave nothing of it for the session to judge."""
    from poolproof.simulation import claims  # noqa: PLC0415 - its registry is exchanged here

    one = len("1")
    real, claims.CLAIMS = claims.CLAIMS, Claims()  # type: ignore[misc]
    try:
        always(one == 2, "one is two", one=one)
    finally:
        claims.CLAIMS = real  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "outcomes", "problem"),
    [
        ("always", [True, True], None),
        ("always", [True, False], "failed 1 of 2 times, n=1"),
        ("always", [], None),
        ("sometimes", [False, True], None),
        ("sometimes", [False, False], "never held in 2 times"),
        ("sometimes", [], "never evaluated"),
        ("reachable", [True], None),
        ("reachable", [], "never reached"),
    ],
)
def test_a_claim_is_judged_by_all_that_was_seen_of_it(
    kind: Any, outcomes: Any, problem: Any
) -> None:
    here, there = Claims(), Claims()
    here.merge([{"kind": kind, "name": "it", "site": "f.py:1"}])
    for number, held in enumerate(outcomes):
        (here, there)[number % 2].note(kind, "it", held=held, details={"n": number})
    here.merge(there.dump())

    assert len(here) == 1
    assert [claim.problem for claim in here.unmet()] == ([problem] if problem else [])


async def _fired(number: int) -> dict[str, int]:
    for _ in range(number):
        for name in ("a", "b", "c", "d"):
            buggify(name)
    points = current().points
    return dict(points.fired) if points else {}


def test_points_never_fire_unless_the_schedule_asks() -> None:
    assert simulation.run(_fired(100)) == {}
    assert not any(buggify("outside of any loop") for _ in range(100))


def test_a_quarter_of_the_points_is_enabled_and_fires_in_a_quarter_of_the_calls() -> None:
    runs = [
        simulation.run(_fired(200), schedule=Schedule(seed=seed, buggify=True))
        for seed in range(200)
    ]
    counts = [count for run in runs for count in run.values()]
    enabled = [count for count in counts if count]

    assert len(counts) == 800
    assert 0.2 < len(enabled) / len(counts) < 0.3
    assert 0.23 < sum(enabled) / (200 * len(enabled)) < 0.27


def test_a_point_does_not_disturb_another() -> None:
    alone, beside = Points(3), Points(3)
    for _ in range(10):
        beside.fires("other", 1, 0.5)

    assert [alone.fires("it", 1, 0.5) for _ in range(50)] == [
        beside.fires("it", 1, 0.5) for _ in range(50)
    ]


def test_points_change_no_order_of_steps() -> None:
    plain = simulation.play(_fired(5), Schedule("random", 3))
    asked = simulation.play(_fired(5), Schedule("random", 3, buggify=True))

    assert asked.trace == plain.trace
    assert asked.lifted.buggify
