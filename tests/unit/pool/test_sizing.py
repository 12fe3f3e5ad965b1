"""How a pool comes to the workers that it should have, whatever happens on the way."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.pool.sizing import Plan, overflow, replace_all, resize
from poolproof.pool.worker import Worker
from tests.unit.pool.closed_loop import born

pytestmark = pytest.mark.unit


def numbers(plan: Plan) -> list[int]:
    return [worker.number for worker in plan.retire]


def test_pool_that_is_too_small_starts_the_lowest_free_numbers() -> None:
    assert resize([born(0), born(3)], 4) == Plan(start=[1, 2])


def test_pool_that_is_too_large_retires_the_idle_with_the_highest_numbers() -> None:
    workers = [born(number) for number in range(4)]
    workers[3].checkout(now_ns=0)

    assert numbers(resize(workers, 2)) == [2, 1]


def test_worker_that_is_not_healthy_is_retired_first() -> None:
    workers = [born(number) for number in range(3)]
    workers[0].check_failed(now_ns=1)

    assert numbers(resize(workers, 2)) == [0]


def test_pool_of_the_right_size_does_nothing() -> None:
    assert resize([born(0), born(1)], 2).done


def test_number_is_free_only_when_its_worker_is_gone() -> None:
    ending, gone = born(0), born(1)
    ending.terminate("shutdown", now_ns=1)
    gone.died("killed", now_ns=1)

    assert resize([ending, gone], 1) == Plan(start=[1])


def test_overflow_starts_a_worker_for_each_job_that_nobody_starts_for() -> None:
    starting = Worker(number=2, epoch=1, now_ns=0)

    assert overflow([born(0), born(1), starting], 3, size=2, limit=5) == Plan(start=[3, 4])


def test_overflow_is_bounded() -> None:
    assert overflow([born(0), born(1)], 100, size=2, limit=3) == Plan(start=[2, 3, 4])
    assert overflow([born(0), born(1)], 100, size=2, limit=0).done


def test_overflow_goes_when_nobody_waits_and_it_is_idle() -> None:
    workers = [born(number) for number in range(4)]
    workers[3].checkout(now_ns=0)

    assert numbers(overflow(workers, 0, size=2, limit=2)) == [2, 1]


@given(seed=st.integers(0, 10**6), size=st.integers(1, 5), surge=st.integers(1, 3))
def test_rolling_replacement_replaces_all_and_never_serves_with_fewer(
    seed: int, size: int, surge: int
) -> None:
    """Workers begin and end in any order, and some die; only deaths lower the number that serves."""
    rng = Random(seed)
    workers = [born(number) for number in range(size)]
    now_ns, deaths = 100, rng.randint(0, 3)
    for _ in range(500):
        before = serving(workers)
        plan = replace_all(workers, 100, size=size, surge=surge)
        for worker in plan.retire:
            worker.retire()
        for number in plan.start:
            assert number not in {worker.number for worker in workers}
            workers.append(Worker(number=number, epoch=2, now_ns=now_ns))
        assert serving(workers) >= min(before, size)
        assert sum(not worker.retiring for worker in workers) <= size + surge
        now_ns += 1
        deaths -= something_happens(workers, rng, now_ns, may_die=deaths > 0)
        done = replace_all(workers, 100, size=size, surge=surge).done
        if done and serving(workers) == len(workers) == size:
            break

    assert replace_all(workers, 100, size=size, surge=surge).done
    assert len(workers) == size
    assert all(worker.born_ns >= 100 for worker in workers)


def serving(workers: list[Worker]) -> int:
    return sum(worker.accepting for worker in workers)


def something_happens(workers: list[Worker], rng: Random, now_ns: int, *, may_die: bool) -> bool:
    """Let one worker begin, end, or die; return whether it died."""
    if not workers:
        return False
    worker = rng.choice(workers)
    dies = may_die and rng.random() < 0.2
    if dies:
        worker.died("killed", now_ns)
    elif worker.state == "initializing":
        worker.begun(now_ns)
    elif worker.retiring and not worker.should_remove():
        worker.terminate("shutdown", now_ns)
    elif worker.state == "terminating":
        worker.died("exit", now_ns)
    workers[:] = [other for other in workers if other.state != "terminated"]
    return dies
