"""Sessions and their workers, claim by claim; what holds in any order is said by its model."""

from collections.abc import Callable
from random import Random

import pytest

from poolproof.pool.affinity import Affinity, Answer, Mode
from poolproof.pool.balancing import make
from poolproof.pool.worker import Worker
from tests.unit.pool.closed_loop import born

pytestmark = pytest.mark.unit

SITUATIONS: dict[str, Callable[[Worker], object]] = {
    "ready": lambda _: None,
    "busy": lambda worker: worker.checkout(now_ns=0),
    "degraded": lambda worker: worker.check_failed(now_ns=0),
    "retiring": lambda worker: worker.retire(),
    "terminating": lambda worker: worker.terminate("shutdown", now_ns=0),
    "terminated": lambda worker: worker.died("killed", now_ns=0),
}
ANSWERS: dict[str, tuple[Answer, Answer]] = {
    "ready": ("bound", "bound"),
    "busy": ("spill", "wait"),
    "degraded": ("any", "wait"),
    "retiring": ("any", "lost"),
    "terminating": ("any", "lost"),
    "terminated": ("any", "lost"),
}


def bound(mode: Mode, worker: Worker, *, ttl_ns: int = 100) -> Affinity:
    """Return a table in which session "s" has had a job on the worker, at time 0."""
    affinity = Affinity(mode, ttl_ns=ttl_ns)
    affinity.done("s", affinity.use("s", worker, now_ns=0), now_ns=0)
    return affinity


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("mode", ["hint", "strict"])
def test_answer_is_defined_for_every_situation_of_the_bound_worker(
    mode: Mode, situation: str
) -> None:
    worker = born(0, slots=1)
    affinity = bound(mode, worker)
    SITUATIONS[situation](worker)

    answer, stays_with = affinity.place("s", now_ns=1)

    assert answer == ANSWERS[situation][mode == "strict"]
    assert stays_with is (worker if answer in {"bound", "spill", "wait"} else None)


def test_session_is_bound_to_the_first_worker_that_it_had() -> None:
    worker, affinity = born(0), Affinity()

    assert affinity.place("s", now_ns=0) == ("any", None)
    affinity.use("s", worker, now_ns=0)

    assert affinity.place("s", now_ns=0) == ("bound", worker)
    assert affinity.sessions_of(worker) == ["s"]


def test_session_that_had_to_spill_once_comes_home_again() -> None:
    home, other = born(0, slots=1), born(1)
    affinity = bound("hint", home)
    home.checkout(now_ns=1)
    affinity.use("s", other, now_ns=1)
    home.checkin(now_ns=2)

    assert affinity.place("s", now_ns=2) == ("bound", home)
    assert (affinity.hits, affinity.misses) == (0, 1)


def test_session_of_a_dead_worker_is_bound_anew() -> None:
    home, other = born(0), born(1)
    affinity = bound("hint", home)
    home.died("killed", now_ns=1)
    affinity.use("s", other, now_ns=1)

    assert affinity.place("s", now_ns=1) == ("bound", other)


def test_replacement_is_not_taken_for_the_worker_it_replaces() -> None:
    home = born(0)
    affinity = bound("strict", home)
    home.died("killed", now_ns=1)
    born(0, epoch=2)

    assert affinity.place("s", now_ns=1) == ("lost", None)


def test_lost_session_is_told_once_and_then_begins_anew() -> None:
    home = born(0)
    affinity = bound("strict", home)
    home.died("killed", now_ns=1)

    assert [affinity.place("s", now_ns=1)[0] for _ in range(2)] == ["lost", "any"]


def test_time_to_live_is_counted_from_the_last_use() -> None:
    """The plan's own was counted from the binding."""
    worker = born(0)
    affinity = bound("hint", worker, ttl_ns=100)

    assert affinity.place("s", now_ns=99)[0] == "bound"
    assert affinity.place("s", now_ns=198)[0] == "bound"
    assert affinity.place("s", now_ns=298) == ("any", None)


def test_session_does_not_expire_while_its_job_runs() -> None:
    worker, affinity = born(0), Affinity(ttl_ns=100)
    binding = affinity.use("s", worker, now_ns=0)
    assert affinity.sweep(now_ns=500) == []
    affinity.done("s", binding, now_ns=1000)

    assert affinity.place("s", now_ns=1099)[0] == "bound"


def test_sweep_forgets_what_has_run_out_and_only_that() -> None:
    affinity = bound("hint", born(0), ttl_ns=100)
    affinity.done("t", affinity.use("t", born(1), now_ns=50), now_ns=50)

    assert affinity.sweep(now_ns=100) == ["s"]
    assert list(affinity) == ["t"]


def test_job_that_ends_after_its_session_was_lost_touches_nothing() -> None:
    worker, affinity = born(0), Affinity("strict")
    binding = affinity.use("s", worker, now_ns=0)
    worker.died("killed", now_ns=1)
    affinity.place("s", now_ns=1)
    affinity.done("s", binding, now_ns=2)

    assert len(affinity) == 0


def test_too_many_hints_push_out_the_longest_unused() -> None:
    affinity, worker = Affinity("hint", limit=2), born(0)
    for session in "abc":
        affinity.done(session, affinity.use(session, worker, now_ns=0), now_ns=0)

    assert list(affinity) == ["b", "c"]
    assert affinity.evicted == 1


def test_too_many_strict_sessions_are_refused_as_none_may_be_forgotten() -> None:
    affinity, worker = Affinity("strict", limit=2, ttl_ns=100), born(0)
    for session in "ab":
        affinity.done(session, affinity.use(session, worker, now_ns=0), now_ns=0)

    assert affinity.place("c", now_ns=99) == ("full", None)
    assert affinity.place("c", now_ns=100) == ("any", None)


def test_hit_rate_without_jobs_is_one() -> None:
    assert Affinity().hit_rate == 1


def test_hit_rate_of_50_sessions_is_above_95_percent_also_with_a_death() -> None:
    """Each session has 100 jobs on 8 workers, of which one dies and is replaced half way."""
    affinity, rng = Affinity("hint"), Random(1)
    strategy = make("least_loaded", rng)
    workers = [born(number) for number in range(8)]
    strategy.set_members(workers)
    for turn in range(5000):
        if turn == 2500:
            workers[3].died("killed", turn)
            workers[3] = born(3, epoch=2, now_ns=turn)
            strategy.set_members(workers)
        session = f"session {rng.randrange(50)}"
        answer, worker = affinity.place(session, turn)
        chosen = worker if answer == "bound" else strategy.pick(session)
        assert chosen
        affinity.done(session, affinity.use(session, chosen, turn), turn)

    assert affinity.hits + affinity.misses == 4950
    assert affinity.hit_rate > 0.95
    assert 0 < affinity.misses <= 50
