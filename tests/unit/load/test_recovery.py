"""The recovery curve: found where there is a dip, and not where chance alone makes one."""

from collections import Counter
from random import Random
from typing import Any

import pytest

from poolproof.errors import UsageError
from poolproof.load.recovery import SLICE_NS, curve
from poolproof.load.striking import parse

pytestmark = pytest.mark.unit

S = 1_000_000_000
MS = 1_000_000


def answers(
    rate: float, seconds: int, *, gap: tuple[int, int] = (0, 0), seed: int = 1
) -> Counter[int]:
    """Right answers by slice, as a Poisson process gives them, with none in the gap."""
    rng, found, t = Random(seed), Counter[int](), 0.0
    while (t := t + rng.expovariate(rate)) < seconds:
        if not gap[0] <= t * S < gap[1]:
            found[int(t * S) // SLICE_NS] += 1
    return found


def told(good: Counter[int], **more: Any) -> Any:
    given: dict[str, Any] = {
        "good": good,
        "failed": [],
        "live": [(0, 2), (29 * S, 2)],
        "births": [],
        "workers": 2,
        "until": 30 * S,
    } | more
    return curve("kill-busy", 10 * S, given.pop("heal", None), **given)


@pytest.mark.parametrize("rate", [20, 500, 5_000])
@pytest.mark.parametrize("seed", range(4))
def test_no_dip_is_seen_in_a_load_that_nothing_happened_to(rate: float, seed: int) -> None:
    found = told(answers(rate, 30, seed=seed))

    assert (
        found.repaired_ms <= 1_000
    )  # three standard deviations let one slice in a thousand through
    assert found.depth < 1.0


def test_a_slice_that_is_low_by_chance_long_after_is_no_part_of_it() -> None:
    good = answers(1_000, 30, gap=(10 * S, 11 * S))
    for late in range(3):
        good[20 * 20 + late] = 0

    assert told(good).repaired_ms == pytest.approx(1_000, abs=100)
    assert told(good).dip_ms == pytest.approx(1_000, abs=100)


def test_a_gap_is_seen_as_deep_and_as_long_as_it_is() -> None:
    found = told(answers(1_000, 30, gap=(10 * S, 12 * S)))

    assert found.depth == 1.0
    assert found.dip_ms == pytest.approx(2_000, abs=100)
    assert found.repaired_ms == pytest.approx(2_000, abs=100)


def test_a_fault_that_is_healed_is_timed_from_the_heal() -> None:
    found = told(answers(1_000, 30, gap=(10 * S, 13 * S)), heal=12 * S)

    assert found.repaired_ms == pytest.approx(1_000, abs=100)
    assert found.heal_ms == 12_000


def test_workers_that_are_missing_are_not_yet_a_repair() -> None:
    live = [(0, 2), (10 * S + MS, 1), (11 * S, 1), (14 * S, 2), (29 * S, 2)]
    found = told(answers(1_000, 30), live=live, births=[14 * S])

    assert found.repaired_ms == pytest.approx(4_000, abs=1)
    assert found.detected_ms == pytest.approx(4_000, abs=1)


def test_what_does_not_come_back_has_no_repair() -> None:
    assert told(answers(1_000, 30, gap=(10 * S, 30 * S))).repaired_ms is None
    assert told(answers(1_000, 30), live=[(0, 2), (10 * S + MS, 1)]).repaired_ms is None


def test_the_first_error_is_a_detection() -> None:
    found = told(answers(1_000, 30), failed=[9 * S, 10 * S + 3 * MS])

    assert found.detected_ms == pytest.approx(3)


def test_strikes_are_read_with_their_length_and_repetition() -> None:
    strikes = parse("kill-busy@1s/2s", 6)

    assert [(one.at, one.lasts) for one in strikes] == [(1, 0), (3, 0), (5, 0)]
    assert [(one.at, one.lasts) for one in parse("freeze-all@20s+6s", 60)] == [(20, 6)]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("kill-busy", "expected a fault such as"),
        ("memory-limit@1s", "expected a fault such as"),
        ("kill-busy@9s", "expected a fault within the 6 s"),
        ("freeze-all@1s+2s/1s", "healed before it is done again"),
        ("kill-busy@soon", "expected a time such as"),
    ],
)
def test_a_strike_that_cannot_be_is_refused(text: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        parse(text, 6)
