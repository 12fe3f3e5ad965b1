"""What a check makes of its findings: one cause is one violation, and the first stories differ."""

import pytest

from poolproof.chaos.confirm import Violation
from poolproof.chaos.stuck import primary, telling
from poolproof.chaos.tally import varied
from poolproof.checkers import Finding, Verdict
from poolproof.faults import FAULTS
from poolproof.faults.base import Fault
from tests.unit.checkers.histories import warm

pytestmark = pytest.mark.unit


def finding(invariant: str, verdict: Verdict = "invalid", effect: str = "") -> Finding:
    return Finding(invariant=invariant, verdict=verdict, reason="because", effect=effect)


NO_RECOVERY, LOST, HANG, LEAK, STARVED, WRONG = (
    finding(name)
    for name in (
        "no-recovery",
        "unresolved-job",
        "shutdown-hang",
        "leak",
        "starvation",
        "wrong-result",
    )
)
SOUND = finding("orphan", "valid")
DOUBT = finding("leak", "unknown")


class TestPrimary:
    def test_nothing_broken_is_no_violation(self) -> None:
        assert primary([SOUND, DOUBT]) == []

    def test_each_broken_promise_is_a_violation_of_its_own(self) -> None:
        assert primary([WRONG, SOUND, LEAK]) == [(WRONG, ()), (LEAK, ())]

    def test_what_follows_from_a_dead_pool_is_told_beside_it(self) -> None:
        told = primary([LOST, HANG, LEAK, NO_RECOVERY])

        assert told == [(NO_RECOVERY, ("unresolved-job", "shutdown-hang", "leak"))]

    def test_a_lost_job_explains_what_hangs(self) -> None:
        assert primary([HANG, LOST]) == [(LOST, ("shutdown-hang",))]

    def test_starvation_explains_what_hangs(self) -> None:
        assert primary([HANG, STARVED, LOST]) == [(STARVED, ("shutdown-hang", "unresolved-job"))]

    def test_what_does_not_follow_stands_alone(self) -> None:
        assert primary([WRONG, NO_RECOVERY, HANG]) == [
            (NO_RECOVERY, ("shutdown-hang",)),
            (WRONG, ()),
        ]

    def test_two_effects_of_one_cause_are_two_violations(self) -> None:
        again = finding("unresolved-job", effect="another")

        assert primary([LOST, again]) == [(LOST, ()), (again, ())]

    def test_what_is_declared_is_told_as_well(self) -> None:
        declared = finding("no-recovery", "by contract")

        assert primary([declared, HANG]) == [(declared, ("shutdown-hang",))]


class TestTelling:
    def test_consequences_are_left_out(self) -> None:
        assert telling([SOUND, LOST, HANG, DOUBT]) == (SOUND, LOST)

    def test_without_a_cause_everything_tells(self) -> None:
        assert telling([SOUND, HANG, DOUBT, LEAK]) == (SOUND, HANG, DOUBT, LEAK)


def violation(invariant: str, fault: str) -> Violation:
    return Violation(fault, finding(invariant), warm().trial())


def test_the_first_violations_tell_different_stories() -> None:
    given = [
        violation("no-recovery", "kill-idle"),
        violation("no-recovery", "term-idle"),
        violation("no-recovery", "kill-busy"),
        violation("leak", "kill-idle"),
        violation("no-recovery", "crash-point:kill"),
        violation("no-recovery", "crash-point:kill"),
    ]
    places = {id(one): place for place, one in enumerate(given)}

    assert [places[id(one)] for one in varied(given)] == [0, 2, 3, 4, 1, 5]


def fault(*variants: str) -> Fault:
    return Fault(kind="test-only", does="nothing", moment="idle", variants=variants)


@pytest.mark.parametrize(
    ("variants", "victims"),
    [
        (("",), [""]),
        (("busy", "idle"), ["busy", "idle"]),
        (("idle:each",), ["idle:0", "idle:1", "idle:2"]),
        (("busy", "idle:each"), ["busy", "idle:0", "idle:1", "idle:2"]),
    ],
)
def test_each_variant_is_a_trial_of_its_own(variants: tuple[str, ...], victims: list[str]) -> None:
    specs = fault(*variants).specs(3)

    assert [spec.victim for spec in specs] == victims
    assert {spec.kind for spec in specs} == {"test-only"}


def test_every_registered_fault_is_tried_at_least_once() -> None:
    assert all(one.specs(1) for one in FAULTS.values())
