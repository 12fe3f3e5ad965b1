"""What a caller was told: every rule has a history that breaks it, and one that does not."""

import pytest

from poolproof.agent import work
from poolproof.checkers.records import SOUND_BODIES
from tests.unit.checkers.histories import ONE, OWNER, THREE, TWO, History, the, verdict, warm

pytestmark = pytest.mark.unit

KILL = "kill-busy"


def hurt() -> History:
    """Job 3 was accepted and begun by worker ONE, which then was killed."""
    return warm(KILL).submit(3, role="faulted").begun(3).hit(ONE)


def frozen(kind: str = "freeze-busy") -> History:
    """Job 3 is in the hands of worker ONE, which was frozen and has not been thawed."""
    return warm(kind).submit(3, role="faulted").begun(3).hit(ONE)


class TestUnresolvedJob:
    def test_a_confirmed_wait_is_invalid(self) -> None:
        found = the(hurt().judged(3), "unresolved-job")

        assert (found.verdict, found.jobs) == ("invalid", (3,))
        assert found.effect == "the caller waits for ever"

    def test_the_evidence_has_the_job_the_worker_its_death_and_the_wait(self) -> None:
        found = the(hurt().judged(3), "unresolved-job")

        assert found.evidence[0].split("; ") == [
            "job 3 accepted at 0.014 s",
            "never resolved",
            "worker 201 started it at 0.015 s and was hit by kill-busy at 0.016 s",
            "its caller was still waiting after 1.3 s",
        ]

    def test_an_error_resolves_a_job(self) -> None:
        assert verdict(hurt().fail(3), "unresolved-job") == "valid"

    def test_a_mere_suspicion_is_unknown(self) -> None:
        found = the(hurt().mark("suspect", 3, why="quiet"), "unresolved-job")

        assert found.verdict == "unknown"
        assert "only suspected that nothing moves any more (quiet)" in found.reason

    def test_no_time_for_a_judgement_is_unknown_with_the_reason(self) -> None:
        history = hurt().mark("suspect", 3, why="quiet")
        history.write("unjudged", op="job", message="2 s were left", data={"pending": [3]})

        assert "time ran out" in the(history, "unresolved-job").reason
        assert "(2 s were left)" in the(history, "unresolved-job").reason

    def test_no_time_and_no_message_is_unknown_as_well(self) -> None:
        history = hurt().mark("suspect", 3, why="quiet").mark("unjudged", 3)

        assert the(history, "unresolved-job").reason.endswith("nothing moves any more")

    def test_a_history_that_just_ends_is_unknown(self) -> None:
        assert "no judgement" in the(hurt(), "unresolved-job").reason

    def test_a_judgement_of_another_job_does_not_count(self) -> None:
        assert verdict(hurt().submit(4).ok(4).judged(4), "unresolved-job") == "unknown"

    def test_an_outcome_that_comes_only_after_the_judgement_undoes_nothing(self) -> None:
        assert verdict(hurt().judged(3).ok(3), "unresolved-job") == "invalid"

    def test_a_judgement_before_the_job_does_not_count(self) -> None:
        history = warm(KILL).hit(ONE).write("judged", data={}).submit(3)

        assert verdict(history, "unresolved-job") == "unknown"

    def test_a_judgement_that_names_no_jobs_is_of_all(self) -> None:
        assert verdict(hurt().write("judged"), "unresolved-job") == "invalid"

    def test_a_result_after_a_suspicion_is_valid(self) -> None:
        history = hurt().mark("suspect", 3, why="quiet").mark("moved", 3).ok(3)

        assert verdict(history, "unresolved-job") == "valid"

    def test_a_submit_that_raised_leaves_nothing_unresolved(self) -> None:
        history = warm(KILL).hit(ONE).refuse(3).judged(3)

        assert verdict(history, "unresolved-job") == "valid"

    def test_a_submit_that_never_returns_is_invalid(self) -> None:
        found = the(warm(KILL).hit(ONE).ask(3).judged(3), "unresolved-job")

        assert (found.verdict, found.effect) == ("invalid", "submit never returns")
        assert "submit never returned" in found.evidence[0]

    def test_a_cancelled_job_whose_caller_waits_is_an_effect_of_its_own(self) -> None:
        found = the(hurt().cancel(3).judged(3), "unresolved-job")

        assert found.effect == "the caller of a cancelled job waits for ever"

    def test_fresh_jobs_are_left_to_no_recovery(self) -> None:
        history = warm(KILL).hit(ONE).submit(9, role="fresh").judged(9)

        assert verdict(history, "unresolved-job") == "valid"

    def test_without_a_fault_fresh_jobs_count_too(self) -> None:
        assert verdict(warm().submit(9, role="fresh").judged(9), "unresolved-job") == "invalid"

    def test_only_fresh_jobs_are_no_relevant_operation(self) -> None:
        history = History(KILL).start().hit(ONE).done(9, role="fresh")

        assert verdict(history, "unresolved-job") == "unknown"

    def test_it_does_not_apply_if_the_callers_were_killed(self) -> None:
        history = warm("owner-killed").submit(3).hit(OWNER).judged(3, op="owner")

        assert verdict(history, "unresolved-job") == "not applicable"

    def test_the_job_of_a_worker_that_stays_frozen_is_a_note(self) -> None:
        found = the(frozen().judged(3), "unresolved-job")

        assert found.verdict == "valid"
        assert found.evidence[0].startswith("held by the frozen worker")

    def test_a_frozen_job_need_not_even_be_judged(self) -> None:
        assert verdict(frozen(), "unresolved-job") == "valid"

    def test_a_job_in_nobodys_hands_may_be_in_those_of_the_frozen_worker(self) -> None:
        assert verdict(frozen().submit(4).judged(3, 4), "unresolved-job") == "valid"

    def test_a_job_that_a_healthy_worker_ran_must_be_resolved_beside_a_frozen_one(self) -> None:
        history = frozen().submit(4).ran(4, TWO).judged(3, 4)

        assert the(history, "unresolved-job").jobs == (4,)

    def test_after_the_thaw_the_frozen_job_must_be_resolved(self) -> None:
        assert verdict(frozen().heal().judged(3), "unresolved-job") == "invalid"

    def test_a_freeze_that_nobody_recorded_excuses_nothing(self) -> None:
        history = warm("freeze-busy").submit(3).begun(3).receipt().judged(3)

        assert verdict(history, "unresolved-job") == "invalid"

    def test_what_was_judged_while_a_worker_was_frozen_convicts_nobody_later(self) -> None:
        history = frozen().judged(3, op="frozen").heal().mark("suspect", 3, why="quiet")

        assert verdict(history, "unresolved-job") == "unknown"

    def test_a_job_that_is_retried_for_ever_is_left_to_duplicate_run(self) -> None:
        history = hurt()
        for pid in range(300, 320):
            history.begun(3, pid)

        assert verdict(history.judged(3, why="livelock"), "unresolved-job") == "valid"

    def test_a_judgement_of_endless_retries_does_not_convict_the_jobs_beside(self) -> None:
        assert verdict(hurt().judged(3, why="livelock"), "unresolved-job") == "unknown"

    def test_an_owner_that_dies_takes_its_callers_with_it(self) -> None:
        found = the(hurt().judged(3, why="owner-gone"), "unresolved-job")

        assert found.effect == "the owner's process dies, and its callers with it"
        assert "owner's process was found dead" in found.evidence[0]

    def test_many_jobs_of_one_effect_are_one_finding_with_bounded_evidence(self) -> None:
        history = warm(KILL).hit(ONE).submit(*range(10, 30))
        found = the(history.judged(*range(10, 30)), "unresolved-job")

        assert len(found.jobs) == 20
        assert found.evidence[-1] == "and 12 more of the same"


class TestWrongResult:
    def test_an_answer_that_does_not_match_is_invalid(self) -> None:
        found = the(warm().submit(3).ok(3, value="'nonsense'", match=False), "wrong-result")

        assert (found.verdict, found.effect) == ("invalid", "a wrong result")
        assert "answered 'nonsense', which is wrong" in found.evidence[0]

    def test_another_jobs_answer_is_named(self) -> None:
        found = the(warm().submit(3).ok(3, value="'answer-2'", match=False), "wrong-result")

        assert found.effect == "answered with another job's result"
        assert found.evidence[0].endswith("that is the answer to job 2")

    def test_a_value_that_several_jobs_share_is_nobodys(self) -> None:
        history = (
            History().start().submit(1, 2, 3).ok(1, 2, value="7").ok(3, value="7", match=False)
        )

        assert the(history, "wrong-result").effect == "a wrong result"

    def test_right_answers_are_valid(self) -> None:
        assert verdict(warm(), "wrong-result") == "valid"

    def test_a_job_that_should_have_failed_is_not_judged(self) -> None:
        history = warm("result-unpicklable").hit().submit(3, body="result-unpicklable")

        assert verdict(history.ok(3, match=False), "wrong-result") == "valid"

    def test_without_any_result_it_is_unknown(self) -> None:
        assert verdict(History().start().submit(1).fail(1), "wrong-result") == "unknown"

    def test_every_body_is_known_to_be_sound_or_to_fail(self) -> None:
        failing = {body for body in work.BODIES if body not in SOUND_BODIES}

        assert failing == {
            "fail",
            "exit",
            "sysexit",
            "interrupt",
            "argument-unpicklable",
            "argument-unloadable",
            "result-unpicklable",
            "result-unloadable",
            "exception-unpicklable",
            "exception-unloadable",
        }


class TestPhantomResult:
    def test_a_run_that_nobody_asked_for_is_invalid(self) -> None:
        found = the(warm().begun(77, THREE), "phantom-result")

        assert (found.verdict, found.jobs) == ("invalid", (77,))
        assert "job 77 was never submitted" in found.evidence[0]

    def test_an_answer_to_a_job_that_nobody_asked_for_is_invalid(self) -> None:
        found = the(warm().ok(77), "phantom-result")

        assert found.effect == "an answer to a job that nobody had asked for"

    def test_a_run_before_the_submission_is_invalid(self) -> None:
        found = the(warm().begun(3).submit(3).ok(3), "phantom-result")

        assert "job 3 was submitted only at" in found.evidence[0]

    def test_a_job_whose_submit_raised_may_run(self) -> None:
        assert verdict(warm().refuse(3).ran(3), "phantom-result") == "valid"

    def test_jobs_that_were_asked_for_are_valid(self) -> None:
        assert verdict(warm(), "phantom-result") == "valid"


class TestTwoOutcomes:
    def test_an_outcome_that_changes_is_invalid(self) -> None:
        found = the(warm().submit(3).ok(3).fail(3), "two-outcomes")

        assert (found.verdict, found.effect) == ("invalid", "an outcome that changes")
        assert "answered 'answer-3' at 0.015 s, then failed with WorkerDied" in found.evidence[0]

    def test_the_same_outcome_asked_for_again_is_valid(self) -> None:
        assert verdict(warm().submit(3).ok(3).ok(3), "two-outcomes") == "valid"

    def test_a_callback_called_twice_is_invalid(self) -> None:
        history = warm().submit(3, body="callback").ok(3)
        for _ in range(2):
            history.write("effect", job=3, data={"effect": "callback"})
        found = the(history, "two-outcomes")

        assert found.effect == "a callback called twice"
        assert "called 2 times" in found.evidence[0]

    def test_a_callback_called_once_is_valid(self) -> None:
        history = warm().submit(3, body="callback").ok(3)

        assert (
            verdict(history.write("effect", job=3, data={"effect": "callback"}), "two-outcomes")
            == "valid"
        )

    def test_without_any_outcome_it_is_unknown(self) -> None:
        assert verdict(History().start().submit(1), "two-outcomes") == "unknown"

    def test_other_effects_are_no_callbacks(self) -> None:
        history = warm().write("effect", job=2, data={"effect": "pickle"})

        assert (
            verdict(history.write("effect", job=2, data={"effect": "pickle"}), "two-outcomes")
            == "valid"
        )


def test_worker_two_is_never_confused_with_worker_one() -> None:
    history = hurt().submit(4).begun(4, TWO).judged(3, 4)
    stories = the(history, "unresolved-job").evidence

    assert "was hit" in stories[0]
    assert "was hit" not in stories[1]


class TestLateAnswer:
    SOON = {"deadline": 0.5}  # noqa: RUF012 - it is not changed

    def test_it_does_not_apply_if_no_deadline_is_promised(self) -> None:
        assert verdict(warm(), "late-answer") == "not applicable"

    @pytest.mark.parametrize("told", ["ok", "fail"])
    def test_a_caller_who_is_told_too_late_was_promised_otherwise(self, told: str) -> None:
        history = warm(promises=self.SOON).at(100).submit(3).ran(3).at(700)
        found = the(getattr(history, told)(3), "late-answer")

        assert (found.effect, found.jobs) == ("told after the deadline", (3,))
        assert found.evidence[0].startswith("0.600 s where 0.5 s are promised: job 3 accepted")

    def test_a_caller_who_is_not_told_at_all_is_told_too_late(self) -> None:
        history = warm(promises=self.SOON).at(100).submit(3).begun(3)

        assert verdict(history, "late-answer") == "valid"
        assert the(history.at(700).done(4), "late-answer").effect == "not told by the deadline"

    def test_a_job_that_is_begun_after_its_caller_gave_up_is_invalid(self) -> None:
        history = warm(promises=self.SOON).at(100).submit(3).at(500).fail(3, error="Deadline")

        assert verdict(history, "late-answer") == "valid"
        assert the(history.at(700).ran(3), "late-answer").effect == "begun after the deadline"

    def test_nothing_is_known_if_no_job_was_submitted(self) -> None:
        assert verdict(History(promises=self.SOON).start(), "late-answer") == "unknown"
