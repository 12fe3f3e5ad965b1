"""What a pool takes in: how many may wait, how fast it says no, and that it means it."""

import pytest

from tests.unit.checkers.histories import ONE, TWO, History, the, verdict, warm
from tests.unit.checkers.test_overlap import accused

pytestmark = pytest.mark.unit

TWO_WAIT = {"queue": 2}
PROMPT = {"shedding": 0.1}


class TestQueueBound:
    def full(self, *faults: str, waiting: int) -> History:
        """Jobs 3 and 4 run in both workers, and so many more are accepted."""
        history = warm(*faults, promises=TWO_WAIT).submit(3, 4).begun(3).begun(4, TWO)
        return history.submit(*range(5, 5 + waiting))

    def test_it_does_not_apply_if_no_bound_is_promised(self) -> None:
        assert verdict(warm(), "queue-bound") == "not applicable"

    def test_more_than_promised_and_in_the_hands_of_workers_is_invalid(self) -> None:
        history = self.full(waiting=5)
        found = the(history, "queue-bound")

        assert found.effect == "more jobs wait than promised"
        assert "5 accepted jobs waited, where 2 may; 2 more" in found.evidence[0]
        assert accused(history) == {"queue-bound"}

    def test_as_many_as_promised_and_as_workers_may_hold_are_valid(self) -> None:
        found = the(self.full(waiting=4), "queue-bound")

        assert (found.verdict, found.reason) == (
            "valid",
            "at most 4 jobs waited to be begun, where 2 may",
        )

    def test_what_a_worker_that_was_killed_had_in_its_hands_is_added(self) -> None:
        history = self.full("kill-busy", waiting=4).hit(ONE).submit(9)

        assert verdict(history, "queue-bound") == "valid"
        assert verdict(history.submit(10), "queue-bound") == "invalid"

    def test_those_that_were_refused_cancelled_or_answered_do_not_wait(self) -> None:
        history = self.full(waiting=4).cancel(5).fail(6).refuse(20, 21).submit(9, 10)

        assert verdict(history, "queue-bound") == "valid"

    def test_one_that_is_begun_before_submit_returns_never_waited(self) -> None:
        history = self.full(waiting=4).ask(9).begun(9).write("ok", op="submit", job=9)

        assert verdict(history, "queue-bound") == "valid"

    def test_nothing_is_known_if_none_was_accepted(self) -> None:
        history = History(promises=TWO_WAIT).start().refuse(1)

        assert verdict(history, "queue-bound") == "unknown"


class TestShedding:
    def test_it_does_not_apply_if_nothing_is_promised(self) -> None:
        assert verdict(warm(), "shedding") == "not applicable"

    def test_a_job_that_was_refused_and_is_run_is_invalid(self) -> None:
        history = warm(promises=PROMPT).refuse(3).ran(3)

        assert the(history, "shedding").effect == "a job that was refused is run"
        assert accused(history) == {"shedding"}

    def test_a_refusal_that_comes_late_is_invalid(self) -> None:
        history = warm(promises=PROMPT).at(100).ask(3).at(300)
        history.write("info", op="submit", job=3, error="Full")

        found = the(history, "shedding")
        assert found.effect == "accepted or refused too late"
        assert "submit took 0.200 s, where 0.1 s are promised" in found.evidence[0]

    def test_a_submit_that_does_not_return_is_invalid_after_that_time_and_not_before(self) -> None:
        history = warm(promises=PROMPT).at(100).ask(3).at(190).done(4)

        assert verdict(history, "shedding") == "valid"
        assert the(history.at(300).done(5), "shedding").effect == "neither accepted nor refused"

    def test_prompt_refusals_are_valid(self) -> None:
        found = the(warm(promises=PROMPT).refuse(3), "shedding")

        assert found.reason == "3 jobs accepted or refused in time, 1 refused"

    def test_nothing_is_known_if_no_job_was_submitted(self) -> None:
        assert verdict(History(promises=PROMPT).start(), "shedding") == "unknown"
