"""Each criterion, judged from facts made by hand: one thing wrong is found as that thing, and sound facts are valid."""

import dataclasses
from collections.abc import Callable

import msgspec
import pytest

from poolproof.scenarios.data import Criteria, Scenario, Step
from poolproof.scenarios.facts import Facts, JobFacts, Role
from poolproof.scenarios.judging import judge, verdict

pytestmark = pytest.mark.unit

SCENARIO = Scenario(
    name="by-hand",
    workers=2,
    steady=2,
    steps=(Step(do="kill"),),
    criteria=Criteria(
        success=0.9, recovery_seconds=5, answered_seconds=9, deaths=1, rss_bytes=1000
    ),
)


def job(number: int, role: Role) -> JobFacts:
    return JobFacts(number=number, role=role, asked=0.0, ended=1.0, ok=True, right=True)


def sound() -> Facts:
    jobs = [job(1, "steady"), *(job(n, "load") for n in range(2, 12)), job(12, "fresh")]
    jobs += [job(13, "fresh"), JobFacts(number=14, role="expected", asked=0.0, ended=1.0)]
    jobs[-1].error, jobs[-1].happened = "CheckoutTimeoutError", False
    return Facts(
        jobs={one.number: one for one in jobs},
        starts=dict.fromkeys(range(1, 14), 1),
        receipts={"kill": ["gone"]},
        healed="all is well",
        steady=True,
        recovery_seconds=1.0,
        live=2,
        wanted=2,
        deaths=1,
        living=((0.0, 1), (0.5, 2)),
        most_rss_bytes=900,
        closed=True,
    )


def test_sound_facts_are_valid() -> None:
    judgements = judge(SCENARIO, sound())

    assert verdict(judgements) == "valid"
    assert len(judgements) == 15


def fail(facts: Facts, *numbers: int) -> None:
    for number in numbers:
        facts.jobs[number].ok, facts.jobs[number].error = False, "WorkerDiedError"


def change(facts: Facts, number: int, **fields: object) -> None:
    facts.jobs[number] = dataclasses.replace(facts.jobs[number], **fields)  # type: ignore[arg-type]


BROKEN: dict[str, Callable[[Facts], object]] = {
    "success": lambda facts: fail(facts, 2, 3),
    "honest-refusal": lambda facts: change(facts, 14, ok=True, right=True, error="", happened=True),
    "unresolved-job": lambda facts: change(facts, 1, ended=None, ok=False),
    "wrong-result": lambda facts: change(facts, 1, right=False),
    "duplicate-run": lambda facts: setattr(facts, "duplicated", (3,)),
    "false-denial": lambda facts: change(facts, 1, ok=False, error="X", happened=False),
    "phantom-result": lambda facts: setattr(facts, "starts", {**facts.starts, 99: 1}),
    "recovery": lambda facts: setattr(facts, "recovery_seconds", 5.1),
    "repair": lambda facts: setattr(facts, "living", ((0.0, 1), (5.1, 2))),
    "capacity": lambda facts: setattr(facts, "live", 1),
    "no-recovery": lambda facts: fail(facts, 13),
    "late-answer": lambda facts: change(facts, 1, ended=9.5),
    "worker-deaths": lambda facts: setattr(facts, "deaths", 2),
    "memory": lambda facts: setattr(facts, "most_rss_bytes", 1001),
    "shutdown-hang": lambda facts: setattr(facts, "closed", False),
}


@pytest.mark.parametrize("invariant", BROKEN)
def test_what_is_broken_is_found_and_nothing_else(invariant: str) -> None:
    facts = sound()
    BROKEN[invariant](facts)

    broken = [one.invariant for one in judge(SCENARIO, facts) if one.verdict == "invalid"]
    extra = {"honest-refusal": ["phantom-result"]}.get(invariant, [])
    assert sorted(broken) == sorted([invariant, *extra])


DOUBTS: dict[str, Callable[[Facts], object]] = {
    "no receipt that kill": lambda facts: facts.receipts["kill"].clear(),
    "no steady state": lambda facts: setattr(facts, "steady", False),
    "everything was healed": lambda facts: setattr(facts, "healed", None),
}


@pytest.mark.parametrize("doubt", DOUBTS)
def test_what_is_not_proven_is_unknown_whatever_else(doubt: str) -> None:
    facts = sound()
    fail(facts, 2, 3)
    DOUBTS[doubt](facts)

    judgements = judge(SCENARIO, facts)

    assert verdict(judgements) == "unknown"
    assert doubt in judgements[0].got


def test_a_foreign_pool_promises_no_number_of_deaths() -> None:
    facts = sound()
    facts.ours, facts.deaths = False, 7

    assert verdict(judge(SCENARIO, facts)) == "valid"


@pytest.mark.parametrize("invariant", ["duplicate-run", "false-denial"])
def test_where_numbers_of_requests_are_corrupted_what_rests_on_them_is_not_judged(
    invariant: str,
) -> None:
    facts = sound()
    BROKEN[invariant](facts)
    criteria = msgspec.structs.replace(SCENARIO.criteria, at_most_once=False)
    corrupted = msgspec.structs.replace(SCENARIO, criteria=criteria)

    told = {one.invariant: one for one in judge(corrupted, facts)}[invariant]
    assert told.verdict == "not applicable"
    assert told.got.startswith("1 jobs: ")


def test_each_judgement_says_number_and_unit() -> None:
    for one in judge(SCENARIO, sound()):
        assert any(letter.isdigit() for letter in one.wanted), one
        assert any(letter.isdigit() for letter in one.got), one
