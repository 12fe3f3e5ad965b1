"""What the pool does afterwards: fresh jobs, promised times, shutdown, frozen workers."""

import pytest

from poolproof.checkers import slowness
from tests.unit.checkers.histories import (
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

KILL = "kill-idle"


def broken(**fields: object) -> History:
    return warm(KILL, **fields).hit(ONE).heal()


class TestNoRecovery:
    def test_fresh_jobs_that_wait_for_ever_are_invalid(self) -> None:
        found = the(broken().submit(5, 6, role="fresh").judged(5, 6), "no-recovery")

        assert (found.verdict, found.jobs) == ("invalid", (5, 6))
        assert found.evidence[0] == "2 of 2 jobs submitted after the fault never resolved"

    def test_one_of_several_is_enough(self) -> None:
        history = broken().submit(5, 6, role="fresh").ran(5, TWO).ok(5).judged(6)

        assert the(history, "no-recovery").evidence[0].startswith("1 of 2")

    def test_fresh_jobs_that_are_served_are_valid(self) -> None:
        found = the(broken().done(5, 6, pid=TWO, role="fresh"), "no-recovery")

        assert (found.verdict, found.reason) == ("valid", "2 of 2 jobs after the fault were served")

    def test_errors_that_say_that_it_is_broken_are_valid(self) -> None:
        history = broken().submit(5, role="fresh").fail(5, error="Broken").refuse(6, role="fresh")
        found = the(history, "no-recovery")

        assert found.verdict == "valid"
        assert (
            found.reason == "reported broken: 2 of 2 jobs after the fault raised Broken, BrokenPool"
        )

    def test_an_unconfirmed_wait_is_unknown(self) -> None:
        history = broken().submit(5, role="fresh").mark("suspect", 5, why="idling")

        assert verdict(history, "no-recovery") == "unknown"

    def test_without_a_fresh_job_it_is_unknown(self) -> None:
        assert verdict(broken(), "no-recovery") == "unknown"

    def test_it_does_not_apply_if_the_fault_was_the_shutdown(self) -> None:
        assert verdict(warm("shutdown-busy").hit().stop(), "no-recovery") == "not applicable"

    def test_it_does_not_apply_if_no_fresh_job_is_planned(self) -> None:
        assert verdict(broken(fresh=0), "no-recovery") == "not applicable"

    def test_it_does_not_apply_if_nothing_was_broken(self) -> None:
        assert verdict(warm(), "no-recovery") == "not applicable"

    def test_it_does_not_apply_if_the_owner_was_killed(self) -> None:
        assert verdict(warm("owner-killed").hit(OWNER), "no-recovery") == "not applicable"


class TestRecovery:
    def promised(self, seconds: float = 2.0) -> History:
        return broken(promises={"recovery": seconds})

    def test_a_fresh_job_that_fails_is_invalid(self) -> None:
        found = the(self.promised().submit(5, role="fresh").fail(5), "recovery")

        assert (found.verdict, found.effect) == ("invalid", "still broken after the heal")

    def test_a_fresh_job_that_is_refused_is_invalid(self) -> None:
        assert verdict(self.promised().refuse(5, role="fresh"), "recovery") == "invalid"

    def test_a_job_that_raises_its_own_error_is_served(self) -> None:
        history = self.promised().submit(5, role="fresh").begun(5, TWO).raised(5, TWO)

        assert verdict(history.fail(5, error="ValueError"), "recovery") == "valid"

    def test_a_result_within_the_time_is_valid(self) -> None:
        found = the(self.promised().submit(5, role="fresh").at(1000).ok(5), "recovery")

        assert found.verdict == "valid"
        assert found.reason == "recovered in at most 0.983 s of the promised 2.0 s"

    def test_a_result_after_the_time_is_invalid(self) -> None:
        found = the(self.promised().submit(5, role="fresh").at(3000).ok(5), "recovery")

        assert found.effect == "recovered too late"
        assert found.evidence[0].startswith("2.983 s where 2.0 s are promised: job 5 accepted")

    def test_the_time_runs_from_the_submission_if_that_was_later(self) -> None:
        history = self.promised().at(5000).submit(5, role="fresh").at(6000).ok(5)

        assert verdict(history, "recovery") == "valid"

    def test_a_strike_is_a_beginning_too(self) -> None:
        history = warm(promises={"recovery": 1}, point=POINT).submit(5, role="fresh")
        history.at(4000).strike().receipt("point").at(4500).ok(5)

        assert the(history, "recovery").reason.startswith("recovered in at most 0.500 s")

    def test_never_is_invalid(self) -> None:
        found = the(self.promised().submit(5, role="fresh").judged(5), "recovery")

        assert found.effect == "never recovered"

    def test_an_unconfirmed_wait_is_unknown(self) -> None:
        assert verdict(self.promised().submit(5, role="fresh"), "recovery") == "unknown"

    def test_without_a_fresh_job_it_is_unknown(self) -> None:
        assert verdict(self.promised(), "recovery") == "unknown"

    def test_it_does_not_apply_if_it_is_not_promised(self) -> None:
        assert the(broken(), "recovery").reason == "recovery is not promised"


class TestShutdownHang:
    def stopping(self) -> History:
        return warm().write("invoke", op="stop")

    def test_a_shutdown_that_never_returns_is_invalid(self) -> None:
        found = the(self.stopping().judged(op="stop"), "shutdown-hang")

        assert (found.verdict, found.effect) == ("invalid", "the shutdown never returns")
        assert found.evidence[0].endswith(
            "never returned; its caller was still waiting after 1.3 s"
        )

    @pytest.mark.parametrize("error", [None, "PoolError"])
    def test_a_shutdown_that_returns_or_raises_is_valid(self, error: str | None) -> None:
        assert verdict(warm().stop(error=error), "shutdown-hang") == "valid"

    def test_a_return_after_it_was_judged_to_hang_is_invalid(self) -> None:
        found = the(self.stopping().judged(op="stop").write("ok", op="stop"), "shutdown-hang")

        assert (found.verdict, found.effect) == ("invalid", "the shutdown never returns")
        assert "returned only at" in found.evidence[0]

    def test_a_return_before_a_wait_is_judged_is_valid(self) -> None:
        history = self.stopping().write("ok", op="stop").at(4000).judged(op="stop")

        assert verdict(history, "shutdown-hang") == "valid"

    def test_a_suspicion_is_unknown(self) -> None:
        history = self.stopping().mark("suspect", op="stop", why="quiet")

        assert verdict(history, "shutdown-hang") == "unknown"

    def test_a_wait_for_a_job_counts_if_it_began_after_the_shutdown(self) -> None:
        assert verdict(self.stopping().at(3000).judged(1), "shutdown-hang") == "invalid"

    def test_a_wait_for_a_job_that_began_before_it_does_not_count(self) -> None:
        assert verdict(self.stopping().at(1000).judged(1), "shutdown-hang") == "unknown"

    def test_an_owner_that_dies_is_an_effect_of_its_own(self) -> None:
        found = the(self.stopping().judged(op="stop", why="owner-gone"), "shutdown-hang")

        assert found.effect == "the owner's process dies in the shutdown"

    def test_without_a_shutdown_it_is_unknown(self) -> None:
        assert verdict(warm(), "shutdown-hang") == "unknown"

    def test_of_several_lives_the_last_counts(self) -> None:
        history = warm().stop().start().write("invoke", op="stop").judged(op="stop")

        assert verdict(history, "shutdown-hang") == "invalid"


class TestStarvation:
    def frozen(self) -> History:
        """Worker ONE was frozen while idle, and jobs 3 and 4 were submitted then."""
        return warm("freeze-idle").hit(ONE).submit(3, 4)

    def test_a_standstill_beside_an_idle_worker_is_invalid(self) -> None:
        found = the(self.frozen().judged(3, 4, op="frozen").heal(), "starvation")

        assert found.verdict == "invalid"
        assert found.effect == "healthy workers starve while one is frozen"
        assert "jobs 3 and 4 waited" in found.evidence[0]
        assert "while 201 was frozen and worker 202 had nothing to do" in found.evidence[0]

    def test_one_job_that_is_resolved_is_valid(self) -> None:
        history = self.frozen().ran(4, TWO).ok(4).judged(3, op="frozen").heal()

        assert verdict(history, "starvation") == "valid"

    def test_one_job_that_is_refused_is_valid(self) -> None:
        assert (
            verdict(self.frozen().refuse(5).judged(3, op="frozen").heal(), "starvation") == "valid"
        )

    def test_one_job_that_is_running_is_valid(self) -> None:
        history = self.frozen().begun(4, TWO).judged(3, 4, op="frozen").heal()

        assert verdict(history, "starvation") == "valid"

    def test_jobs_that_were_run_and_whose_callers_are_not_told_starve(self) -> None:
        history = self.frozen().ran(3, TWO).ran(4, TWO).judged(3, 4, op="frozen").heal()

        assert verdict(history, "starvation") == "invalid"

    def test_a_standstill_that_is_only_suspected_is_unknown(self) -> None:
        history = self.frozen().mark("suspect", 3, 4, op="frozen", why="quiet").heal()

        assert "not waited for long enough" in the(history, "starvation").reason

    def test_a_suspicion_confirmed_by_the_length_of_the_freeze_is_invalid(self) -> None:
        history = self.frozen().at(200).mark("suspect", 3, 4, op="frozen", why="quiet")

        assert verdict(history.at(1600).heal().ok(3, 4), "starvation") == "invalid"

    def test_the_job_of_the_frozen_worker_itself_may_wait(self) -> None:
        history = warm("freeze-busy").submit(3, role="faulted").begun(3).hit(ONE)

        assert "but the frozen worker's own" in the(history.judged(3), "starvation").reason

    def test_a_job_that_the_frozen_worker_had_finished_is_not_its_own(self) -> None:
        history = warm("freeze-busy").submit(3).ran(3).hit(ONE).judged(3, op="frozen").heal()

        assert verdict(history, "starvation") == "invalid"

    def test_without_an_idle_worker_it_is_unknown(self) -> None:
        history = warm("freeze-busy").submit(5).begun(5, TWO).hit(ONE).submit(3)

        assert "no other is known to have been idle" in the(history.judged(3), "starvation").reason

    def test_a_dead_worker_is_not_idle(self) -> None:
        history = warm("freeze-busy").death(TWO).hit(ONE).submit(3).judged(3)

        assert verdict(history, "starvation") == "unknown"

    def test_a_worker_that_never_ran_a_job_is_known_from_the_judge(self) -> None:
        history = warm("freeze-busy").death(TWO).hit(ONE).submit(3).judged(3, alive=[ONE, THREE])

        assert "worker 203 had nothing to do" in the(history, "starvation").evidence[0]

    def test_without_a_recorded_injection_it_is_unknown(self) -> None:
        assert "nobody recorded when" in the(warm("freeze-idle").receipt(), "starvation").reason

    def test_it_ends_with_the_shutdown(self) -> None:
        history = warm("freeze-idle").submit(3).hit(ONE).stop().judged(3, op="frozen")

        assert verdict(history, "starvation") == "unknown"

    def test_a_shutdown_while_frozen_is_judged_as_a_shutdown(self) -> None:
        history = warm("freeze-shutdown").hit(ONE).write("invoke", op="stop").judged(op="stop")

        assert verdict(history, "starvation") == "not applicable"
        assert verdict(history, "shutdown-hang") == "invalid"

    def test_it_does_not_apply_if_nobody_was_frozen(self) -> None:
        assert verdict(broken(), "starvation") == "not applicable"

    def test_jobs_resolved_before_the_freeze_did_not_wait(self) -> None:
        assert len(claims(warm("freeze-idle").hit(ONE).judged(), "starvation")) == 1


class TestSlowness:
    def late(self, *marks: str) -> History:
        """Job 3 is suspected at 100 ms and answered at 700 ms."""
        history = broken().submit(3).at(100).mark("suspect", 3, why="quiet")
        for mark in marks:
            history.mark(mark, 3)
        return history.at(700).ok(3)

    @pytest.mark.parametrize("marks", [(), ("moved",)])
    def test_it_is_the_time_from_the_suspicion_to_the_answer(self, marks: tuple[str, ...]) -> None:
        assert slowness(self.late(*marks).trial()) == pytest.approx(0.6)

    def test_nothing_is_slow_where_nothing_was_suspected(self) -> None:
        assert slowness(warm().trial()) is None

    def test_what_was_never_answered_is_not_slow(self) -> None:
        assert slowness(broken().submit(3).judged(3).trial()) is None

    def test_a_suspected_shutdown_that_returns_is_slow(self) -> None:
        history = warm().write("invoke", op="stop").at(100).mark("suspect", op="stop", why="quiet")

        assert slowness(history.at(350).write("ok", op="stop").trial()) == pytest.approx(0.25)

    def test_a_suspected_start_that_returns_is_slow(self) -> None:
        history = History().write("invoke", op="start").at(100).mark("suspect", op="start")

        assert slowness(history.at(350).write("ok", op="start").trial()) == pytest.approx(0.25)

    def test_an_answer_from_before_the_suspicion_is_not_slow(self) -> None:
        history = warm().mark("suspect", 1, why="quiet")

        assert slowness(history.trial()) is None

    def test_a_word_about_another_operation_does_not_end_the_suspicion(self) -> None:
        history = broken().submit(3).mark("suspect", 3).mark("moved", op="stop").mark("unjudged", 3)

        assert slowness(history.ok(3).trial()) is None
