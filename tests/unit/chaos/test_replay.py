"""What a replay counts, and how sure that makes one."""

import pytest

from poolproof.chaos.replay import Replayed, _count
from tests.unit.checkers.histories import ONE, History, warm

pytestmark = pytest.mark.unit


# Known values: Agresti and Coull 1998, Newcombe 1998 (81 of 263, 15 of 148, 0 of 20, 1 of 29).
@pytest.mark.parametrize(
    ("hits", "times", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (10, 10, 0.7225, 1.0),
        (9, 10, 0.5958, 0.9821),
        (0, 1, 0.0, 0.7935),
    ],
)
def test_the_interval_is_that_of_wilson(hits: int, times: int, low: float, high: float) -> None:
    assert Replayed(times=times).interval(hits) == pytest.approx((low, high), abs=5e-5)


def lost() -> History:
    return warm("kill-busy").submit(3, role="faulted").begun(3).hit(ONE).judged(3)


def test_a_trial_that_breaks_promises_is_counted_once_and_each_promise_too() -> None:
    found = Replayed(times=2)
    for _ in range(2):
        _count(found, lost().trial())

    assert found.broken == 2
    assert found.hits["unresolved-job"] == 2
    assert found.unknown == 0
    assert found.story


def test_a_declared_weakness_is_counted_as_seen() -> None:
    found = Replayed(times=1)
    history = lost()
    declared = warm("kill-busy", promises={"contract": {"unresolved-job": "we lose it"}})
    declared.events = history.events
    _count(found, declared.trial())

    assert found.hits["unresolved-job"] == 1


def test_a_trial_without_a_receipt_is_unknown_with_its_reason() -> None:
    found = Replayed(times=1)
    _count(found, warm("kill-busy").submit(3, role="faulted").inject(ONE).ran(3).ok(3).trial())

    assert (found.broken, found.unknown) == (0, 1)
    assert found.why_unknown.startswith("no receipt that kill-busy took effect")


def test_a_sound_trial_counts_as_neither() -> None:
    found = Replayed(times=1)
    sound = warm("kill-busy").submit(3, role="faulted").ran(3).hit(ONE).heal().ok(3)
    _count(found, sound.done(4, role="fresh").stop().sample("after").trial())

    assert (found.broken, found.unknown, found.hits, found.story) == (0, 0, {}, ())
