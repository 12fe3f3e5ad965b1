"""Effects: once, by the latest attempt, and no two attempts of one job at the same time."""

import pytest

from poolproof.checkers import Trial, judge
from tests.unit.checkers.histories import ONE, TWO, History, the, verdict, warm

pytestmark = pytest.mark.unit

KILL, FREEZE = "kill-busy", "freeze-busy"
ONCE = {"exactly-once": True}
ALONE = {"exclusive": True}
FENCED = {"fenced": True}


def accused(history: History | Trial) -> set[str]:
    trial = history.trial() if isinstance(history, History) else history
    return {finding.invariant for finding in judge(trial) if finding.verdict == "invalid"}


@pytest.mark.parametrize("invariant", ["exactly-once", "overlapping-run", "superseded-run"])
class TestWhereNothingIsPromised:
    def test_it_does_not_apply(self, invariant: str) -> None:
        assert the(warm(), invariant).verdict == "not applicable"

    def test_it_does_not_apply_to_jobs_that_leave_no_evidence(self, invariant: str) -> None:
        history = History(promises={**ONCE, **ALONE, **FENCED}).start().submit(1, body="own").ok(1)

        assert the(history, invariant).verdict == "not applicable"


class TestExactlyOnce:
    def again(self) -> History:
        """Job 3 was finished by a worker that is killed before its answer is delivered."""
        return warm(KILL, promises=ONCE).submit(3).ran(3).hit(ONE).death(ONE)

    def test_a_job_that_was_finished_and_is_run_again_is_invalid(self) -> None:
        history = self.again().ran(3, TWO).ok(3)
        found = the(history, "exactly-once")

        assert (found.effect, found.jobs) == ("took effect twice", (3,))
        assert accused(history) == {"exactly-once"}

    def test_a_job_whose_worker_died_in_the_middle_may_be_run_again(self) -> None:
        history = warm(KILL, promises=ONCE).submit(3).begun(3).hit(ONE).death(ONE)

        assert verdict(history.ran(3, TWO).ok(3), "exactly-once") == "valid"

    def test_a_job_that_is_given_up_before_it_took_effect_is_invalid(self) -> None:
        history = warm(KILL, promises=ONCE).submit(3).begun(3).hit(ONE).death(ONE).fail(3)

        assert the(history, "exactly-once").effect == "given up without having taken effect"
        assert accused(history) == {"exactly-once"}

    def test_an_answer_to_a_job_that_nobody_ran_is_invalid(self) -> None:
        history = warm(promises=ONCE).submit(3).ok(3)

        assert the(history, "exactly-once").effect == "answered without having taken effect"

    def test_it_is_not_when_its_process_may_have_been_unable_to_write(self) -> None:
        assert verdict(warm("x", promises=ONCE).submit(3).hit().ok(3), "exactly-once") == "valid"
        assert (
            verdict(
                warm(promises=ONCE)
                .write("note", message="2 line(s) of the journal could not be written: full")
                .submit(3)
                .ok(3),
                "exactly-once",
            )
            == "valid"
        )

    @pytest.mark.parametrize("body", ["fail", "exit"])
    def test_a_harmful_job_has_no_effect_to_be_counted(self, body: str) -> None:
        history = warm(promises=ONCE).submit(3, body=body).begun(3).raised(3).fail(3)

        assert verdict(history, "exactly-once") == "valid"

    def test_a_job_that_is_refused_cancelled_or_late_for_the_shutdown_may_have_none(self) -> None:
        history = warm(promises=ONCE).refuse(3).submit(4).cancel(4).fail(4)

        assert verdict(history.submit(5).stop().fail(5), "exactly-once") == "valid"

    def test_a_job_that_raises_its_own_error_has_had_its_say(self) -> None:
        history = warm(promises=ONCE).submit(3).begun(3).raised(3, error="MemoryError")

        assert verdict(history.fail(3, error="MemoryError"), "exactly-once") == "valid"

    def test_nothing_is_known_if_nothing_took_effect(self) -> None:
        history = History(promises=ONCE).start().submit(1, body="exit").begun(1).fail(1)

        assert verdict(history, "exactly-once") == "unknown"


def hedged(promises: dict[str, bool]) -> History:
    """Job 3 was begun anew while its first worker was frozen; that one is thawed later."""
    return warm(FREEZE, promises=promises).submit(3).begun(3).hit(ONE).begun(3, TWO).heal()


class TestOverlappingRun:
    def test_an_attempt_that_ends_after_the_next_was_begun_is_invalid(self) -> None:
        history = hedged(ALONE).finished(3, TWO).ok(3).finished(3, ONE)
        found = the(history, "overlapping-run")

        assert (found.effect, found.jobs) == ("run twice at the same time", (3,))
        assert "process 201, which had begun it before, had finished only at" in found.evidence[0]
        assert accused(history) == {"overlapping-run"}

    def test_one_whose_process_goes_on_without_ending_it_is_invalid(self) -> None:
        history = hedged(ALONE).finished(3, TWO).ok(3).submit(4).begun(4, ONE)

        assert "was still at it" in the(history, "overlapping-run").evidence[0]

    def test_two_runs_in_one_process_at_the_same_time_are_invalid(self) -> None:
        history = warm(promises=ALONE).submit(3).begun(3).begun(3).finished(3).finished(3).ok(3)

        assert verdict(history, "overlapping-run") == "invalid"

    def test_a_frozen_worker_that_is_never_heard_of_again_is_valid(self) -> None:
        history = warm(FREEZE, promises=ALONE).submit(3).begun(3).hit(ONE).death(ONE)

        assert verdict(history.ran(3, TWO).ok(3), "overlapping-run") == "valid"

    def test_attempts_one_after_the_other_are_valid(self) -> None:
        history = warm(promises=ALONE).submit(3).begun(3).raised(3).ran(3).ok(3).submit(4).ran(4)

        assert verdict(history, "overlapping-run") == "valid"

    def test_an_end_at_the_very_moment_of_the_next_start_is_valid(self) -> None:
        history = warm(promises=ALONE).submit(3).begun(3)
        history.at(50).raised(3).at(50).ran(3, TWO).ok(3).submit(4).ran(4)

        assert verdict(history, "overlapping-run") == "valid"

    def test_nothing_is_known_if_no_job_was_begun(self) -> None:
        assert verdict(History(promises=ALONE).start().submit(1), "overlapping-run") == "unknown"


class TestSupersededRun:
    def test_an_attempt_that_finishes_after_the_next_was_begun_is_invalid(self) -> None:
        history = hedged(FENCED).finished(3, TWO).ok(3).finished(3, ONE)

        assert (
            the(history, "superseded-run").effect == "an attempt that was superseded takes effect"
        )
        assert accused(history) == {"superseded-run"}

    def test_one_that_is_ended_before_it_takes_effect_is_valid(self) -> None:
        history = hedged(FENCED).raised(3, ONE, error="Cancelled").finished(3, TWO).ok(3)

        assert verdict(history, "superseded-run") == "valid"
        assert verdict(hedged(ALONE).raised(3, ONE).finished(3, TWO), "overlapping-run") == (
            "invalid"
        )

    def test_one_that_finished_before_it_was_superseded_is_for_others_to_judge(self) -> None:
        history = warm(KILL, promises=FENCED).submit(3).ran(3).hit(ONE).death(ONE)

        assert verdict(history.ran(3, TWO).ok(3), "superseded-run") == "valid"

    def test_nothing_is_known_if_no_job_was_begun(self) -> None:
        assert verdict(History(promises=FENCED).start().submit(1), "superseded-run") == "unknown"
