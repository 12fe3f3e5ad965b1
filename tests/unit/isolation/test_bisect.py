"""The search for polluters, against models of every kind of dependence; and what separates failing from passing."""

import asyncio
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.errors import UsageError
from poolproof.isolation import bisect
from poolproof.isolation.bisect import Bisection, Bisector, Trial, resources, search, telling
from poolproof.isolation.runs.ordering import Order
from poolproof.isolation.runs.records import Case, Leak, Record
from tests.unit.isolation.recorded import case as ran

pytestmark = pytest.mark.unit

NAMES = [f"t{number}" for number in range(500)]


def played(
    candidates: Sequence[str], does: Callable[[Sequence[str]], bool]
) -> tuple[tuple[str, ...], int]:
    """Return what the search finds, and in how many trials."""
    asked, trials = search(candidates), 0
    try:
        wanted = next(asked)
        while True:
            trials += 1
            wanted = asked.send(does(wanted))
    except StopIteration as found:
        return found.value, trials


@given(st.integers(1, 500), st.data())
def test_one_culprit_is_found_in_as_many_halves_as_there_are(
    number: int, data: st.DataObject
) -> None:
    culprit = data.draw(st.sampled_from(NAMES[:number]))

    found, trials = played(NAMES[:number], lambda some: culprit in some)

    assert found == (culprit,)
    assert trials <= math.ceil(math.log2(number)) + 1


def test_500_tests_take_at_most_12_runs() -> None:
    assert bisect.runs_at_most(499) == 12


@given(st.sets(st.sampled_from(NAMES[:60]), min_size=1, max_size=4))
def test_several_that_only_do_it_together_are_all_found(culprits: set[str]) -> None:
    found, _ = played(NAMES[:60], lambda some: culprits <= set(some))

    assert set(found) == culprits


@given(st.sets(st.sampled_from(NAMES[:60]), min_size=1, max_size=5))
def test_of_several_that_do_it_alone_one_is_found(culprits: set[str]) -> None:
    found, _ = played(NAMES[:60], lambda some: bool(culprits & set(some)))

    assert len(found) == 1
    assert set(found) <= culprits


def trial(
    *,
    bad: bool,
    before: Iterable[str] = (),
    leaks: dict[str, tuple[Leak, ...]] | None = None,
    **state: str,
) -> Trial:
    return Trial(before=tuple(before), bad=bad, state=state, leaks=leaks or {})


def named(trials: Sequence[Trial]) -> list[str]:
    return [resource.resource for resource in telling(trials)]


def test_what_is_only_where_it_fails_is_telling() -> None:
    trials = [trial(bad=True, mode="slow", a="1"), trial(bad=False, mode="quick", a="1")]

    (found,) = telling(trials)
    assert (found.resource, found.passing, found.failing) == ("mode", "quick", "slow")


def test_what_an_innocent_did_is_not_telling() -> None:
    """The innocent ran in a trial that passed, or did not run in one that failed."""
    trials = [
        trial(bad=True, mode="slow", one="set", other="set"),
        trial(bad=False, one="set"),
        trial(bad=True, mode="slow"),
    ]

    assert named(trials) == ["mode"]


def test_what_is_gone_is_as_telling_as_what_has_come() -> None:
    assert named([trial(bad=True, a="1"), trial(bad=False, a="1", mode="quick")]) == ["mode"]


def test_what_is_always_the_same_where_it_fails_comes_first() -> None:
    trials = [
        trial(bad=True, a_counter="1", mode="slow"),
        trial(bad=True, a_counter="2", mode="slow"),
        trial(bad=False, a_counter="3"),
    ]

    assert named(trials) == ["mode", "a_counter"]


def test_a_module_that_was_imported_comes_last() -> None:
    trials = [
        Trial(before=(), bad=True, state={"module a": "x", "zone": "1"}),
        Trial(before=(), bad=False, state={"zone": "0"}),
    ]

    assert [resource.resource for resource in telling(trials)] == ["zone", "module"]


@pytest.mark.parametrize("bad", [True, False])
def test_without_both_outcomes_nothing_is_telling(bad: bool) -> None:  # noqa: FBT001
    assert named([trial(bad=bad, mode="slow")]) == []


def test_the_guard_adds_where_it_was_made_and_what_it_alone_saw() -> None:
    leaks = {
        "p": (
            Leak(resource="environment", what="MODE set", where="t.py:3"),
            Leak(resource="task", what="poller", where="t.py:9"),
        )
    }
    trials = [
        Trial(before=("p",), bad=True, state={"environment MODE": "slow"}, leaks=leaks),
        Trial(before=(), bad=False, state={"environment HOME": "x"}),
    ]

    found = resources(trials, ["p"], guilty=True)

    assert [(r.resource, r.what, r.where) for r in found] == [
        ("environment", "HOME", ""),
        ("environment", "MODE", "t.py:3"),
        ("task", "poller", "t.py:9"),
    ]


def _save(file: str, state: dict[str, str]) -> None:
    Path(file).write_bytes(msgspec.json.encode(state))


class Suite:
    """A suite as a model: whether the victim fails, by what ran before it."""

    def __init__(self, fails: Callable[[Sequence[str]], bool], tests: Sequence[str]) -> None:
        self.fails, self.tests = fails, tests

    async def run(self, order: Order, **_options: object) -> Record:
        names = order.tests or self.tests
        before = names[: names.index("victim")]
        fails = self.fails(before)
        _save(order.state, {"mode": str(fails)})
        outcome = "failed" if fails else "passed"
        tests = [ran(name, at=at) for at, name in enumerate(names)]
        tests[len(before)] = ran("victim", outcome, at=len(before), message="no")
        return Record(tests={test.test: test for test in tests}, collected=tuple(names))


def bisected(
    tmp_path: Path,
    fails: Callable[[Sequence[str]], bool],
    victim: str = "victim",
    **options: object,
) -> Bisection:
    suite = Suite(fails, (*NAMES[:40], "victim", "late"))
    bisector = Bisector(suite, victim, tmp_path, lambda _: None)
    return asyncio.run(bisector.find(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fails", "kind", "others"),
    [
        (lambda before: "t7" in before, "polluted", ("t7",)),
        (lambda before: {"t7", "t30"} <= set(before), "polluted", ("t7", "t30")),
        (lambda before: "t7" not in before, "needs others", ("t7",)),
        (lambda _: True, "fails alone", ()),
        (lambda _: False, "not reproduced", ()),
    ],
    ids=["one", "two together", "needed", "alone", "never"],
)
def test_each_kind_of_dependence_is_told_apart(
    fails: Callable[[Sequence[str]], bool], kind: str, others: tuple[str, ...], tmp_path: Path
) -> None:
    found = bisected(tmp_path, fails)

    assert (found.kind, found.others) == (kind, others)
    assert [resource.resource for resource in found.resources] == ["mode"] * bool(others)


def test_a_victim_that_answers_at_random_is_unsteady(tmp_path: Path) -> None:
    answers = iter([True, False])

    found = bisected(tmp_path, lambda before: next(answers, False) if len(before) else False)

    assert found.kind == "unsteady"
    assert found.runs <= bisect.MOST_RUNS + 1


def test_a_recorded_run_saves_the_first_one(tmp_path: Path) -> None:
    tests = [ran("t1"), ran("t2", at=1.0, worker="other"), ran("victim", "failed", at=2.0)]
    record = Record(tests={test.test: test for test in tests})

    found = bisected(tmp_path, lambda before: "t1" in before, record=record)

    assert (found.others, found.candidates, found.runs) == (("t1",), 1, 2)


def test_a_victim_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match=r"^expected a test that ran among the 42 .*, got victm; did you mean victim\?",
    ):
        bisected(tmp_path, lambda _: False, victim="victm")


def test_a_record_knows_who_ran_before_on_the_same_worker() -> None:
    tests: list[Case] = [
        ran("late", at=3.0),
        ran("first", at=0.0),
        ran("beside", at=1.0, worker="gw1"),
        ran("it", at=2.0),
    ]

    assert Record(tests={test.test: test for test in tests}).before("it") == ("first",)
