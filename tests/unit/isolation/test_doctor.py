"""What the doctor makes of runs: symptoms, causes and advice; and that a healthy suite has none."""

from typing import Any

import pytest

from poolproof.isolation import doctor
from poolproof.isolation.doctor import Checkup, examine
from poolproof.isolation.runs.records import Leak, Warned
from poolproof.isolation.symptoms import CLASSES, SYMPTOMS, classify
from poolproof.isolation.verify import Mode, Run
from tests.unit.isolation.recorded import case, run

pytestmark = pytest.mark.unit

# What the failures of four real suites said, and what is said for the same in Python.
SAID = [
    ("Error: Job 42 not found", "job-not-found"),
    ("AssertionError: expected job-17 to be in the queue: job not found in redis", "job-not-found"),
    ("AssertionError: expected 'completed', got 'active'", "job-state"),
    ("assert job.state == 'completed'\nstate: active", "job-state"),
    ("AssertionError: queue record abc not found in DB", "row-not-found"),
    ("sqlalchemy.exc.NoResultFound: No row was found when one was required", "row-not-found"),
    ("TRPCClientError: No procedure found on path", "rpc"),
    ("grpc.RpcError: StatusCode.UNAVAILABLE", "rpc"),
    (
        "psycopg.errors.TooManyConnections: FATAL: sorry, too many clients already",
        "too-many-connections",
    ),
    (
        "PrismaError: Timed out fetching a new connection from the connection pool",
        "too-many-connections",
    ),
    ("QueuePool limit of size 5 overflow 10 reached, connection timed out", "too-many-connections"),
    ("DETAIL: SQLSTATE 53300", "too-many-connections"),
    ('duplicate key value violates unique constraint "tenant_slug_key"', "duplicate-key"),
    ("sqlite3.IntegrityError: UNIQUE constraint failed: user.name", "duplicate-key"),
    ("ERROR 23505", "duplicate-key"),
    ('update or delete on table "a" violates foreign key constraint', "foreign-key"),
    ("could not serialize access due to concurrent update", "serialization"),
    ("sqlite3.OperationalError: database is locked", "serialization"),
    ("OSError: [Errno 98] Address already in use", "address-in-use"),
    ("OSError: [Errno 24] Too many open files: 'x'", "too-many-files"),
    ("FileExistsError: [Errno 17] File exists: 'cache'", "file-exists"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'x'", "file-vanished"),
    ("RuntimeError: Task got Future attached to a different loop", "event-loop"),
    ("RuntimeError: Event loop is closed", "event-loop"),
    ("RuntimeWarning: coroutine 'poll' was never awaited", "unawaited"),
    ("worker 'gw1' crashed while running 'test_it.py::test'", "crash"),
    ("ConnectionRefusedError: [Errno 111] Connection refused", "refused"),
    ("Failed: Timeout (>30.0s) from pytest-timeout.", "timeout"),
    ("KeyError: 'DATABASE_URL'", "environment"),
    ("AssertionError: Expected 'send' to have been called once. Called 2 times.", "mocked"),
    ("assert 1 == 2", "unclassified"),
    ("", "unclassified"),
]


@pytest.mark.parametrize(("said", "name"), SAID, ids=[f"{number}" for number in range(len(SAID))])
def test_a_failure_is_classified_by_what_it_says(said: str, name: str) -> None:
    assert classify(said).of.name == name


def test_every_class_is_reached_and_every_symptom_is_one_of_the_ten() -> None:
    assert {found.name for found in CLASSES} == {name for _, name in SAID} - {"unclassified"}
    assert {found.symptom for found in CLASSES} <= set(SYMPTOMS)
    assert len(SYMPTOMS) == 10


def test_the_code_that_a_traceback_quotes_is_no_evidence() -> None:
    text = "    raise TimeoutError('never')  # job 1 not found\nE   AssertionError: assert 1 == 2"

    assert classify(text).of.name == "unclassified"


def present(found: Checkup) -> set[str]:
    return {symptom.name for symptom in found.symptoms if symptom.evidence}


MODES: list[Mode] = ["serial", "alone", "serial", "parallel", "parallel", "shuffled"]


def runs(outcomes: str, message: str = "assert 1 == 2", **more: Any) -> list[Run]:
    """Return runs in `MODES`, in which the test `a` passes or fails, and 99 others pass."""
    words = {"P": "passed", "F": "failed"}
    others = [case(f"t{number}", seconds=0.1) for number in range(99)]
    return [
        run(mode, *others, case("a", words[of], at=200.0, message=message), **more)
        for mode, of in zip(MODES, outcomes, strict=True)
    ]


def test_a_healthy_suite_has_no_symptom_and_may_run_in_parallel() -> None:
    found = examine(runs("PPPPPP"))

    assert (found.score, found.compromised, found.advice) == (0, False, "parallel")
    assert found.diagnoses == ()


@pytest.mark.parametrize(
    ("outcomes", "message", "symptoms", "advice"),
    [
        ("FPFPPP", "", {"alone"}, "fix clean-up first"),
        ("PFPPPP", "", {"alone"}, "fix clean-up first"),
        ("PPPPPF", "", {"order"}, "fix clean-up first"),
        ("PPPFFP", "", {"parallel"}, "serial"),
        ("PPPFFP", "Address already in use", {"parallel", "collision"}, "serial"),
        ("PPPFPP", "too many connections", {"parallel", "exhausted"}, "serial"),
        ("PPPFPP", "Job 3 not found", {"parallel", "vanished"}, "serial"),
        ("PPPFPP", "state: active", {"parallel", "waiting"}, "serial"),
        ("PPFPPP", "", {"flaky"}, "fix the failing tests first"),
        ("FFFFFF", "Job 3 not found", set(), "fix the failing tests first"),
    ],
)
def test_how_it_fails_tells_the_symptom_and_the_advice(
    outcomes: str, message: str, symptoms: set[str], advice: str
) -> None:
    found = examine(runs(outcomes, message or "assert 1 == 2"))

    assert (present(found), found.advice) == (symptoms, advice)


def test_three_symptoms_compromise_a_suite_and_two_do_not() -> None:
    warned = (Warned(test="t1", category="ResourceWarning", text="unclosed file"),)
    two = examine(runs("PPPFPP", "Address already in use"))
    three = examine(runs("PPPFPP", "Address already in use", warnings=warned))

    assert (two.score, two.compromised) == (2, False)
    assert (three.score, three.compromised) == (3, True)


def test_a_leak_alone_asks_for_clean_up_first() -> None:
    leaky = [run(m, case("a", leaks=(Leak(resource="thread", what="poller"),))) for m in MODES]

    found = examine(leaky)

    assert (present(found), found.advice) == ({"leftovers"}, "fix clean-up first")


def test_a_lost_test_is_drift() -> None:
    found = examine([run(a="passed", b="passed"), run("parallel", a="passed")])

    assert (present(found), found.advice) == ({"drift"}, "serial")


def test_who_had_left_what_explains_the_failure_is_named() -> None:
    port, file = Leak(resource="port", what="8080"), Leak(resource="temporary-file", what="x")
    before = case("server", at=0.0, leaks=(port, file))
    beside = case("beside", at=1.0, worker="gw1", leaks=(port,))
    victim = case("victim", "failed", at=2.0, message="[Errno 98] Address already in use")

    (found,) = examine([run("serial", before, beside, victim)]).diagnoses

    assert found.failure == "address-in-use"
    assert found.evidence[-1] == "server had left port: 8080"
    assert "isolation.port()" in found.fix


def test_a_single_recorded_run_is_examined_by_what_its_failures_say() -> None:
    found = examine([run("parallel", case("a", "failed", message="duplicate key value"))])

    assert (present(found), found.advice) == ({"collision"}, "serial")


def test_a_failure_of_no_class_is_sent_to_bisect() -> None:
    (found,) = examine(runs("FPFPPP")).diagnoses

    assert (found.kind, found.fix) == ("polluted", "poolproof bisect 'a'")


def test_nothing_that_ran_is_no_health() -> None:
    assert examine([run()]).advice == "nothing ran"


def test_much_evidence_is_counted_not_listed() -> None:
    leaky = [case(f"t{n}", leaks=(Leak(resource="thread", what="poller"),)) for n in range(9)]

    found = examine([run("serial", *leaky)])

    evidence = next(s.evidence for s in found.symptoms if s.name == "leftovers")
    assert evidence[doctor.MOST_EXAMPLES :] == ("and 6 more",)
