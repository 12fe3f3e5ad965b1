"""How often a job is run: when a second run is a violation, and when it is excused."""

import os

import pytest

from tests.unit.checkers.histories import (
    CLEAN,
    ONE,
    OWNER,
    POINT,
    THREE,
    TWO,
    History,
    claims,
    the,
    verdict,
    warm,
)

pytestmark = pytest.mark.unit

KILL = "kill-busy"


def hurt(**fields: object) -> History:
    """Job 3 was begun by worker ONE, which then was killed."""
    return warm(KILL, **fields).submit(3, role="faulted").begun(3).hit(ONE)


class TestDuplicateRun:
    def test_a_second_run_beside_the_first_is_invalid(self) -> None:
        history = warm().submit(3).begun(3).begun(3, TWO).finished(3).finished(3, TWO).ok(3)
        found = the(history, "duplicate-run")

        assert (found.verdict, found.effect) == ("invalid", "run twice at the same time")
        assert "started again by process 202 at 0.016 s" in found.evidence[0]

    def test_a_second_run_in_the_same_process_is_invalid(self) -> None:
        history = warm().submit(3).ran(3).ran(3).ok(3)

        assert the(history, "duplicate-run").effect == "run again after it had finished"

    def test_a_second_run_of_what_had_finished_elsewhere_is_invalid(self) -> None:
        assert verdict(warm().submit(3).ran(3).ran(3, TWO).ok(3), "duplicate-run") == "invalid"

    def test_a_second_run_after_the_answer_is_invalid(self) -> None:
        found = the(warm().submit(3).ran(3).ok(3).ran(3, TWO), "duplicate-run")

        assert found.effect == "run again after its answer was delivered"

    def test_a_retry_of_what_raised_is_invalid_where_no_retry_is_promised(self) -> None:
        history = warm().submit(3).begun(3).raised(3).ran(3, TWO).ok(3)

        assert the(history, "duplicate-run").effect == "run again after it had raised"

    def test_a_retry_of_what_raised_is_valid_where_retries_are_promised(self) -> None:
        history = warm(promises={"retries": 1}).submit(3).begun(3).raised(3).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "valid"

    def test_a_second_run_after_the_kill_is_valid(self) -> None:
        assert verdict(hurt().ran(3, TWO).ok(3), "duplicate-run") == "valid"

    def test_a_second_run_after_the_kill_of_another_worker_is_invalid(self) -> None:
        history = warm(KILL).submit(3).begun(3, TWO).hit(ONE).begun(3, THREE)

        assert verdict(history.finished(3, TWO).ok(3), "duplicate-run") == "invalid"

    def test_the_same_pid_born_later_is_another_process(self) -> None:
        history = (
            warm(KILL)
            .submit(3)
            .ran(3)
            .write("inject", 1, data={"fault": 0, "victims": [{"pid": ONE, "born": 5}]})
        )

        assert verdict(history.receipt().ran(3, TWO), "duplicate-run") == "invalid"

    def test_a_run_that_finished_before_its_worker_was_killed_unanswered_may_be_repeated(
        self,
    ) -> None:
        history = warm(KILL).submit(3).ran(3).hit(ONE).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "valid"

    def test_a_kill_after_the_answer_excuses_nothing(self) -> None:
        history = warm(KILL).submit(3).ran(3).ok(3).hit(ONE).ran(3, TWO)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_a_worker_struck_at_a_crash_point_is_excused(self) -> None:
        history = warm(point=POINT).submit(3).ran(3).strike(ONE).receipt("point").ran(3, TWO)

        assert verdict(history.ok(3), "duplicate-run") == "valid"

    def test_a_frozen_worker_is_excused(self) -> None:
        history = (
            warm("freeze-busy").submit(3).begun(3).hit(ONE).ran(3, TWO).ok(3).heal().finished(3)
        )

        assert verdict(history, "duplicate-run") == "valid"

    def test_a_worker_that_was_thawed_before_the_job_began_is_not_excused(self) -> None:
        history = warm("freeze-busy").hit(ONE).heal().submit(3).ran(3).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_a_run_that_never_ended_in_a_process_that_never_wrote_again_may_be_lost(self) -> None:
        assert verdict(warm().submit(3).begun(3).ran(3, TWO).ok(3), "duplicate-run") == "valid"

    def test_a_recorded_death_excuses(self) -> None:
        history = warm().submit(3).ran(3).death(ONE).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "valid"

    def test_a_death_may_be_recorded_late(self) -> None:
        history = warm().submit(3).ran(3).ran(3, TWO).ok(3).death(ONE, None)

        assert verdict(history, "duplicate-run") == "valid"

    def test_a_death_recorded_much_later_excuses_nothing(self) -> None:
        history = warm().submit(3).ran(3).ran(3, TWO).ok(3).at(9000).death(ONE)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_a_clean_exit_after_the_end_of_the_job_excuses_nothing(self) -> None:
        history = warm().submit(3).ran(3).death(ONE, CLEAN).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_a_death_in_the_shutdown_excuses_nothing(self) -> None:
        history = warm().submit(3).ran(3).ran(3, TWO).ok(3).stop().death(ONE)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_a_death_before_the_job_excuses_nothing(self) -> None:
        history = warm().death(ONE).submit(3).ran(3).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_of_two_simultaneous_starts_either_may_be_the_lost_one(self) -> None:
        history = warm(KILL).submit(3).begun(3, TWO).at(15).hit(TWO).at(15).ran(3, ONE).ok(3)

        assert verdict(history, "duplicate-run") == "valid"

    def test_harm_to_the_process_of_the_second_run_excuses_nothing(self) -> None:
        history = warm("fd-exhaustion-worker").hit(TWO).submit(3).ran(3).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_the_death_of_another_worker_excuses_nothing(self) -> None:
        history = warm().submit(3).ran(3).death(THREE).ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "invalid"

    def test_an_exit_raised_in_the_job_may_have_ended_its_worker(self) -> None:
        history = warm().submit(3).begun(3).raised(3, error="SystemExit").ran(3, TWO).ok(3)

        assert verdict(history, "duplicate-run") == "valid"

    def test_a_harmful_body_may_have_ended_its_worker(self) -> None:
        history = warm("result-unloadable").hit().submit(3, body="result-unloadable")

        assert verdict(history.ran(3).ran(3, TWO).fail(3), "duplicate-run") == "valid"

    def test_more_starts_than_the_bound_are_retries_for_ever(self) -> None:
        history = warm(KILL).hit(ONE).submit(3)
        for pid in range(300, 311):
            history.begun(3, pid)
        found = the(history, "duplicate-run")

        assert (found.verdict, found.effect) == ("invalid", "retried without end")
        assert found.evidence[0].startswith(
            "11 starts; where nothing is promised, 10 are the bound"
        )
        assert "started 11 times in all" in found.evidence[0]

    def test_as_many_starts_as_the_bound_are_valid(self) -> None:
        history = warm(KILL).hit(ONE).submit(3)
        for pid in range(300, 310):
            history.begun(3, pid)

        assert verdict(history.fail(3), "duplicate-run") == "valid"

    def test_it_does_not_apply_where_jobs_leave_no_evidence(self) -> None:
        assert (
            verdict(History().start().submit(1, body="own").ok(1), "duplicate-run")
            == "not applicable"
        )

    def test_jobs_that_all_failed_without_a_start_are_valid(self) -> None:
        assert verdict(warm(KILL).hit(ONE).submit(3).fail(3), "duplicate-run") == "valid"
        assert verdict(History(KILL).start().hit(ONE).submit(3).fail(3), "duplicate-run") == "valid"

    def test_without_any_job_it_is_unknown(self) -> None:
        assert verdict(History().start(), "duplicate-run") == "unknown"

    @pytest.mark.parametrize(
        ("status", "words"),
        [
            (9, "was killed by SIGKILL"),
            (os.WEXITSTATUS(0) | 3 << 8, "exited with 3"),
            (None, "was gone"),
        ],
    )
    def test_the_evidence_tells_how_a_worker_died(self, status: int | None, words: str) -> None:
        history = warm().submit(3).begun(3).death(ONE, status).judged(3)

        assert words in the(history, "unresolved-job").evidence[0]

    @pytest.mark.parametrize(
        ("effect", "words"),
        [("kill", "was killed"), ("raise", "was made to raise"), ("hang", "was made to hang")],
    )
    def test_the_evidence_tells_what_a_crash_point_did(self, effect: str, words: str) -> None:
        history = (
            warm(point=POINT).submit(3).begun(3).strike(ONE, effect).receipt("point").judged(3)
        )

        assert f"{words} at pool.py:118" in the(history, "unresolved-job").evidence[0]

    def test_the_evidence_calls_the_owner_no_worker(self) -> None:
        history = (
            History().start().submit(1).begun(1, OWNER).raised(1, OWNER).begun(1, OWNER).judged(1)
        )
        text = the(history, "unresolved-job").evidence[0]

        assert "process 100 started it at 0.004 s and saw it raise ValueError at 0.005 s" in text
        assert "worker" not in text


class TestAtMostOnce:
    def test_any_second_start_is_invalid(self) -> None:
        history = hurt(promises={"at-most-once": True}).ran(3, TWO).ok(3)

        assert the(history, "at-most-once").effect == "started more than once"
        assert verdict(history, "duplicate-run") == "valid"

    def test_one_start_of_each_job_is_valid(self) -> None:
        assert verdict(hurt(promises={"at-most-once": True}).fail(3), "at-most-once") == "valid"

    @pytest.mark.parametrize("promises", [{}, {"at-most-once": False}])
    def test_it_does_not_apply_if_it_is_not_promised(self, promises: dict[str, bool]) -> None:
        assert verdict(warm(promises=promises), "at-most-once") == "not applicable"


class TestRetries:
    def test_one_start_too_many_is_invalid(self) -> None:
        history = hurt(promises={"retries": 1}).begun(3, TWO).begun(3, THREE)
        found = the(history, "retries")

        assert (found.verdict, found.effect) == ("invalid", "retried more often than promised")
        assert found.evidence[0].startswith("3 starts where 2 are promised")

    def test_the_promised_number_is_valid(self) -> None:
        assert verdict(hurt(promises={"retries": 1}).ran(3, TWO).ok(3), "retries") == "valid"

    def test_a_promise_of_no_retry_is_a_promise(self) -> None:
        assert verdict(hurt(promises={"retries": 0}).ran(3, TWO).ok(3), "retries") == "invalid"

    def test_it_does_not_apply_if_nothing_is_promised(self) -> None:
        assert claims(warm(), "retries")[0].reason == "retries is not promised"

    def test_many_starts_are_no_retries_for_ever_where_they_are_promised(self) -> None:
        history = warm(KILL, promises={"retries": 20}).hit(ONE).submit(3)
        for pid in range(300, 315):
            history.begun(3, pid)

        assert verdict(history.fail(3), "duplicate-run") == "valid"


class TestCancelledRun:
    PROMISE = {"cancel-final": True}  # noqa: RUF012 - it is not changed

    def storm(self) -> History:
        return warm("cancel-storm", promises=self.PROMISE).submit(3, role="faulted").hit()

    def test_a_job_that_is_begun_after_its_cancellation_is_invalid(self) -> None:
        found = the(self.storm().cancel(3).ran(3), "cancelled-run")

        assert (found.verdict, found.jobs) == ("invalid", (3,))
        assert "its cancellation was granted at" in found.evidence[0]

    def test_one_that_was_begun_before_is_valid(self) -> None:
        assert verdict(self.storm().begun(3).cancel(3), "cancelled-run") == "valid"

    def test_one_whose_cancellation_was_refused_may_run(self) -> None:
        history = self.storm().cancel(3, cancelled=False).ran(3).ok(3)

        assert verdict(history, "cancelled-run") == "unknown"

    def test_it_is_not_asked_of_a_pool_that_does_not_promise_it(self) -> None:
        history = warm("cancel-storm").submit(3, role="faulted").hit().cancel(3).ran(3)

        assert verdict(history, "cancelled-run") == "not applicable"
