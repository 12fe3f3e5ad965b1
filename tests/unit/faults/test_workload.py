"""Faults that a job brings along, and those of one loop: what counts as their receipt, and what does not."""

import pytest

from poolproof.agent import work
from poolproof.faults import FAULTS
from poolproof.faults.workload import BIG_BYTES
from poolproof.plan import FaultSpec
from poolproof.watch.procfs import Identity
from tests.unit.faults.conftest import Born, Stage

pytestmark = pytest.mark.unit

SPEC = FaultSpec(kind="any")
EFFECTS = {
    "argument-unpicklable": "pickle",
    "argument-unloadable": "unpickle",
    "result-unpicklable": "pickle",
    "result-unloadable": "unpickle",
    "exception-unpicklable": "pickle",
    "exception-unloadable": "unpickle",
    "callback-raises": "callback",
}
ERRORS = {
    "sysexit-in-job": "SystemExit",
    "interrupt-in-job": "KeyboardInterrupt",
    "error-in-job": "ValueError",
}


def receipt(kind: str, stage: Stage) -> str | None:
    return FAULTS[kind].receipt(stage, SPEC, [])


@pytest.fixture
def job(stage: Stage) -> Stage:
    stage.faulted = (4,)
    return stage


@pytest.mark.parametrize(("kind", "effect"), EFFECTS.items())
def test_the_wrapper_that_came_to_the_place_is_the_receipt(
    kind: str, effect: str, job: Stage
) -> None:
    job.saw("effect", job=3, pid=9, data={"effect": effect})
    job.saw("effect", job=4, pid=9, data={"effect": "something else"})
    before = receipt(kind, job)
    job.saw("effect", job=4, pid=9, data={"effect": effect})

    assert before is None
    assert receipt(kind, job) == f"{effect} of job 4 in process 9"


@pytest.mark.parametrize(("kind", "error"), ERRORS.items())
def test_the_exception_that_passed_is_the_receipt(kind: str, error: str, job: Stage) -> None:
    job.saw("raised", job=3, pid=9, error=error)
    job.saw("raised", job=4, pid=9, error="LookupError")
    before = receipt(kind, job)
    job.saw("raised", job=4, pid=9, error=error)

    assert before is None
    assert receipt(kind, job) == f"{error} passed out of job 4 in process 9"


def test_the_process_that_exited_must_be_gone(job: Stage, born: Born) -> None:
    before = receipt("exit-in-job", job)
    job.ran = {4: [born()]}
    alive = receipt("exit-in-job", job)
    job.ran = {4: [Identity(2**22 + 1, 7)]}

    assert (before, alive) == (None, None)
    assert receipt("exit-in-job", job) == (
        f"process {2**22 + 1} (born 7), which had started job 4, is gone from /proc"
    )


def test_a_big_result_must_really_be_big(job: Stage) -> None:
    job.saw("finished", job=3, data={"size": BIG_BYTES})
    job.saw("finished", job=4, pid=9, data={"size": BIG_BYTES - 1})
    before = receipt("big-result", job)
    job.saw("finished", job=4, pid=9, data={"size": BIG_BYTES})

    assert before is None
    assert receipt("big-result", job) == f"job 4 returned {BIG_BYTES} bytes in process 9"


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS.values() if fault.moment == "job"], ids=lambda f: f.kind
)
def test_every_fault_in_a_job_has_its_body(fault: object) -> None:
    body = getattr(fault, "body", "")

    assert body == "callback" or body in work.BODIES


def test_a_shutdown_counts_only_while_a_job_runs(stage: Stage) -> None:
    stage.saw("started", job=1)
    stage.saw("started", job=2)
    running = receipt("shutdown-busy", stage)
    stage.saw("invoke", op="stop")
    asked = receipt("shutdown-busy", stage)
    stage.saw("finished", job=1)
    stage.saw("raised", job=2)

    assert running is None
    assert asked == "shutdown was asked for while jobs [1, 2] ran"
    assert receipt("shutdown-busy", stage) is None


def test_a_storm_is_proven_by_what_the_pool_answered(job: Stage) -> None:
    FAULTS["cancel-storm"].inject(job, SPEC, [])
    job.saw("invoke", op="cancel", job=4)
    asked = receipt("cancel-storm", job)
    job.saw("ok", op="cancel", job=4)
    job.saw("fail", op="cancel", job=4)

    assert job.commands == [("cancel", {"jobs": [4]})]
    assert asked is None
    assert receipt("cancel-storm", job) == "the pool answered 2 requests to cancel"


def test_a_cancellation_is_told_with_its_turn(job: Stage) -> None:
    job.saw("effect", job=4, data={"effect": "cancelled-at-turn", "turns": 7})

    assert receipt("loop-stall", job) is None
    assert receipt("cancel-at-handover", job) == (
        "job 4 was cancelled 7 turns of the loop after the hand-over"
    )


def test_a_stall_is_told_by_the_loops_own_clock(job: Stage) -> None:
    job.saw("effect", job=4, data={"effect": "stalled", "ms": 51.7})

    assert receipt("cancel-at-handover", job) is None
    assert receipt("loop-stall", job) == "the loop stood still for 52 ms by its own clock"


def test_the_turns_are_tried_one_by_one() -> None:
    variants = FAULTS["cancel-at-handover"].variants

    assert variants == tuple(f"turn:{turn}" for turn in range(13))


class TestNeverCarried:
    """A pool that by its design pickles no result cannot be hit by one that cannot be pickled."""

    def moot(self, job: Stage, kind: str = "result-unpicklable") -> str | None:
        return FAULTS[kind].moot(job.events)

    def test_it_is_said_when_the_job_had_one_and_its_caller_has_an_answer(self, job: Stage) -> None:
        job.saw("finished", job=4, data={"answer": "Unpicklable"})
        early = self.moot(job)
        job.saw("ok", op="job", job=4)

        assert early is None
        assert self.moot(job) == (
            "it carries no result from process to process: the job had one, and it was never pickled"
        )

    def test_so_it_is_with_exceptions(self, job: Stage) -> None:
        job.saw("raised", job=4, error="UnloadableError")
        job.saw("fail", op="job", job=4)

        assert "carries no exception" in str(self.moot(job, "exception-unloadable"))

    def test_a_job_that_never_had_one_tells_nothing(self, job: Stage) -> None:
        job.saw("finished", job=4, data={"answer": "str"})
        job.saw("ok", op="job", job=4)

        assert self.moot(job) is None

    def test_other_faults_are_never_moot(self, job: Stage) -> None:
        assert self.moot(job, "error-in-job") is None
