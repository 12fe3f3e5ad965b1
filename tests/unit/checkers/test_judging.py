"""What holds for every invariant alike: receipts, contracts, failing checkers, combining."""

from collections.abc import Iterator
from typing import Literal, get_args

import pytest

from poolproof import history as record
from poolproof.checkers import CHECKERS, Claim, Trial, Verdict, base, checker, combine, judge, valid
from poolproof.history import KINDS, Event
from poolproof.plan import Point
from tests.unit.checkers.histories import (
    CONTROLLER,
    ONE,
    POINT,
    TWO,
    History,
    plan,
    the,
    verdict,
    warm,
)

pytestmark = pytest.mark.unit

KILL = "kill-busy"
Effect = Literal["kill", "raise", "hang"]
EFFECTS = get_args(Effect)
INVARIANTS = {
    "unresolved-job",
    "wrong-result",
    "phantom-result",
    "two-outcomes",
    "duplicate-run",
    "cancelled-run",
    "at-most-once",
    "retries",
    "exactly-once",
    "overlapping-run",
    "superseded-run",
    "late-answer",
    "queue-bound",
    "shedding",
    "capacity",
    "idle-worker",
    "order",
    "no-recovery",
    "recovery",
    "shutdown-hang",
    "starvation",
    "leak",
    "orphan",
}


def lost(*faults: str, **fields: object) -> History:
    return warm(*faults, **fields).submit(3).begun(3).judged(3)


class TestReceipts:
    def test_a_fault_with_a_receipt_counts(self) -> None:
        assert verdict(lost(KILL).hit(ONE), "unresolved-job") == "invalid"

    def test_without_a_receipt_nothing_is_invalid(self) -> None:
        found = the(lost(KILL).inject(ONE), "unresolved-job")

        assert found.verdict == "unknown"
        assert found.reason.startswith("no receipt that kill-busy took effect; what was seen: ")

    def test_without_a_receipt_nothing_is_valid(self) -> None:
        assert {f.verdict for f in judge(warm(KILL).inject(ONE).stop().trial())} <= {
            "unknown",
            "not applicable",
        }

    def test_every_fault_needs_its_own_receipt(self) -> None:
        history = warm(KILL, "freeze-idle").hit(ONE).inject(TWO, fault=1)

        assert "freeze-idle" in the(history, "wrong-result").reason

    def test_a_receipt_from_before_the_injection_is_none(self) -> None:
        assert verdict(warm(KILL).receipt().inject(ONE), "wrong-result") == "unknown"

    def test_a_fault_inside_a_job_needs_no_injection(self) -> None:
        assert verdict(warm("exit-in-job").receipt(), "wrong-result") == "valid"

    def test_a_null_plan_is_unknown_for_it_has_no_receipt(self) -> None:
        assert {f.verdict for f in judge(lost(KILL, null=True).inject(ONE).stop().trial())} == {
            "unknown",
            "not applicable",
        }

    def test_what_does_not_apply_stays_so_without_a_receipt(self) -> None:
        assert verdict(warm(KILL).inject(ONE), "order") == "not applicable"

    def test_an_unreached_crash_point_is_unknown(self) -> None:
        found = the(warm(point=POINT), "wrong-result")

        assert found.reason.startswith("no receipt: no worker came to pool.py:118")

    @pytest.mark.parametrize("effect", EFFECTS)
    def test_a_strike_alone_is_unknown(self, effect: Effect) -> None:
        history = warm(point=Point(file="pool.py", line=118, effect=effect)).strike(ONE, effect)

        assert f"that a worker's {effect} at pool.py:118" in the(history, "wrong-result").reason

    @pytest.mark.parametrize("effect", EFFECTS)
    def test_a_strike_with_a_later_receipt_counts(self, effect: Effect) -> None:
        history = warm(point=Point(file="pool.py", line=118, effect=effect)).strike(ONE, effect)

        assert verdict(history.receipt("point"), "wrong-result") == "valid"

    def test_a_recorded_death_is_a_receipt_of_a_kill(self) -> None:
        assert verdict(warm(point=POINT).strike(ONE).death(ONE), "wrong-result") == "valid"

    def test_the_death_of_another_process_is_none(self) -> None:
        assert verdict(warm(point=POINT).strike(ONE).death(TWO), "wrong-result") == "unknown"

    def test_the_word_of_the_killed_process_itself_is_none(self) -> None:
        history = warm(point=POINT).strike(ONE).write("receipt", ONE)

        assert verdict(history, "wrong-result") == "unknown"


class TestNothingAsked:
    def test_a_trial_without_a_submission_is_unknown(self) -> None:
        for history in (History(), History().start().stop()):
            verdicts = {finding.verdict for finding in judge(history.trial())}

            assert verdicts == {"unknown", "not applicable"}

    def test_a_start_that_raised_is_named(self) -> None:
        history = History().start(error="OSError").stop()

        assert "the start of the pool raised OSError" in the(history, "shutdown-hang").reason

    def test_a_start_that_hangs_is_named(self) -> None:
        history = History().write("invoke", op="start").stop()

        assert "the start of the pool never returned" in the(history, "shutdown-hang").reason


class TestContract:
    QUOTE = "jobs of a dead worker are lost"

    def test_a_declared_weakness_is_by_contract_and_quoted(self) -> None:
        contract = {"contract": {"unresolved-job": self.QUOTE}}
        found = the(lost(KILL, promises=contract).hit(ONE), "unresolved-job")

        assert found.verdict == "by contract"
        assert found.reason.endswith(f'declared: "{self.QUOTE}"')
        assert found.jobs == (3,)

    def test_it_covers_no_other_invariant(self) -> None:
        contract = {"contract": {"no-recovery": self.QUOTE}}

        assert verdict(lost(KILL, promises=contract).hit(ONE), "unresolved-job") == "invalid"

    def test_it_makes_nothing_valid_worse(self) -> None:
        contract = {"contract": {"wrong-result": self.QUOTE}}

        assert verdict(warm(promises=contract), "wrong-result") == "valid"

    def test_without_a_receipt_it_is_unknown(self) -> None:
        contract = {"contract": {"unresolved-job": self.QUOTE}}

        assert verdict(lost(KILL, promises=contract).inject(ONE), "unresolved-job") == "unknown"


class TestRegister:
    @pytest.fixture(autouse=True)
    def _restore(self) -> Iterator[None]:
        before = dict(CHECKERS)
        yield
        CHECKERS.clear()
        CHECKERS.update(before)

    def test_every_invariant_has_its_checker(self) -> None:
        assert set(CHECKERS) == INVARIANTS

    def test_a_strangers_checker_is_one_function(self) -> None:
        @checker("mine")
        def mine(trial: Trial) -> tuple[Claim, ...]:
            return valid(f"{len(trial.jobs)} jobs")

        assert the(warm(), "mine").reason == "2 jobs"

    def test_an_invariant_has_one_checker(self) -> None:
        with pytest.raises(ValueError, match=r"^expected a new invariant, got 'leak' again$"):
            checker("leak")(lambda _trial: ())

    def test_a_checker_that_raises_is_unknown_with_the_last_line(self) -> None:
        @checker("mine")
        def mine(_trial: Trial) -> tuple[Claim, ...]:
            raise ZeroDivisionError("by nothing")

        found = the(warm(), "mine")

        assert found.verdict == "unknown"
        assert found.reason == "the checker itself failed: ZeroDivisionError: by nothing"

    def test_a_checker_that_says_nothing_is_unknown(self) -> None:
        checker("mine")(lambda _trial: ())

        assert verdict(warm(), "mine") == "unknown"


def test_every_trial_gets_a_finding_for_each_invariant() -> None:
    assert {finding.invariant for finding in judge(warm().trial())} == INVARIANTS


def test_the_reference_is_handed_to_the_checkers() -> None:
    usual = History().start().sample("before").done(1).stop().sample("after", shm=["x"])
    trial = (
        History(KILL).start().sample("before").done(1).hit(ONE).stop().sample("after", shm=["y"])
    )
    (found,) = (f for f in judge(trial.trial(), usual.trial()) if f.invariant == "leak")

    assert found.verdict == "valid"


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ((), "unknown"),
        (("not applicable",), "not applicable"),
        (("not applicable", "valid"), "valid"),
        (("valid", "by contract"), "by contract"),
        (("by contract", "unknown"), "unknown"),
        (("unknown", "invalid", "valid"), "invalid"),
    ],
)
def test_the_worst_verdict_counts(verdicts: tuple[Verdict, ...], whole: Verdict) -> None:
    assert combine(verdicts) == whole


@pytest.mark.parametrize(
    ("jobs", "words"), [((5,), "job 5"), ((5, 6), "jobs 5 and 6"), ((1, 2, 3), "jobs 1, 2 and 3")]
)
def test_jobs_are_named_in_words(jobs: tuple[int, ...], words: str) -> None:
    assert base.named(jobs) == words


def test_a_trial_knows_how_far_suspicion_came() -> None:
    asked = warm().submit(3)

    assert asked.trial().judgement is None
    assert asked.mark("suspect", 3).trial().judgement == "suspect"
    assert asked.mark("judged", 3).trial().judgement == "judged"
    assert asked.mark("unjudged", 3).trial().judgement == "unjudged"


def test_a_trial_has_the_indexes_of_its_history() -> None:
    trial = (
        warm(KILL).write("birth", CONTROLLER, data={"child": ONE}).cancel(2).hit(ONE).heal().trial()
    )

    assert [job.number for job in trial.submitted] == [1, 2]
    assert (trial.jobs[1].accepted, trial.jobs[1].match, trial.jobs[1].cancelled) == (
        True,
        True,
        None,
    )
    assert trial.jobs[2].cancelled is True
    assert trial.jobs[1].submitted_at == trial.jobs[1].submit.t  # type: ignore[union-attr]
    assert trial.faults[0].victims[0].pid == ONE
    assert len(trial.births) == 1
    assert trial.strike is None


def test_a_job_that_was_never_submitted_has_no_role() -> None:
    job = warm().begun(9).trial().jobs[9]

    assert (job.role, job.submitted_at, job.accepted, job.sound) == ("", None, None, True)


def test_an_empty_history_is_a_trial() -> None:
    trial = Trial(plan(), ())

    assert (trial.began, trial.owner, trial.jobs) == (0, None, {})


def test_a_trial_of_a_saved_history_is_the_same() -> None:
    events = tuple(lost(KILL).hit(ONE).trial().events)
    again = tuple(filter(None, map(record.decode_line, map(record.encode, events))))

    assert again == events


def test_each_kind_of_event_may_stand_anywhere() -> None:
    events = tuple(Event(t=0, kind=kind) for kind in sorted(KINDS))

    assert {finding.invariant for finding in judge(Trial(plan(), events))} == INVARIANTS
