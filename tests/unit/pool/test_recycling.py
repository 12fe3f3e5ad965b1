"""When a worker has served long enough."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof import simulation
from poolproof.pool.pool import Pool
from poolproof.pool.recycling import Limits, due
from poolproof.pool.settings import PoolSettings
from poolproof.transport.base import WorkerSpec
from poolproof.transport.mock import MockTransport
from tests.unit.pool.closed_loop import born

pytestmark = pytest.mark.unit


def test_worker_without_limits_serves_for_ever() -> None:
    worker = born(0)
    worker.jobs = 10**9

    assert due(worker, Limits(), now_ns=10**18, rss_bytes=10**12) is None


def test_worker_goes_when_it_is_old() -> None:
    limits = Limits(age_ns=100, spread=0)

    assert [due(born(0, now_ns=50), limits, now_ns) for now_ns in (149, 150)] == [None, "age"]


def test_worker_goes_when_it_was_given_enough_jobs() -> None:
    worker, limits = born(0), Limits(jobs=2, spread=0)
    worker.checkout(now_ns=0)
    assert due(worker, limits, now_ns=1) is None
    worker.checkout(now_ns=0)

    assert due(worker, limits, now_ns=1) == "jobs"


def test_worker_goes_when_it_holds_too_much_memory_and_stays_when_nobody_measured() -> None:
    limits = Limits(rss_bytes=50)

    found = [due(born(0), limits, now_ns=1, rss_bytes=rss) for rss in (None, 50, 51)]
    assert found == [None, None, "memory"]


def test_workers_of_one_age_do_not_all_go_at_once() -> None:
    limits = Limits(age_ns=1000, spread=0.1)
    ends = {
        next(now for now in range(1001) if due(born(number), limits, now)) for number in range(16)
    }

    assert len(ends) == 16
    assert min(ends) >= 900


@given(number=st.integers(0, 10**6), epoch=st.integers(1, 10**6), jobs=st.integers(1, 10**6))
def test_no_worker_gets_more_jobs_than_the_limit_or_goes_before_its_first(
    number: int, epoch: int, jobs: int
) -> None:
    worker = born(number, epoch=epoch)
    assert due(worker, Limits(jobs=jobs), now_ns=0) is None
    worker.jobs = jobs

    assert due(worker, Limits(jobs=jobs), now_ns=0) == "jobs"


def test_nobody_is_due_by_its_jobs_before_the_fewest() -> None:
    limits = Limits(jobs=100)
    workers = [born(number) for number in range(50)]
    for worker in workers:
        worker.jobs = int(limits.fewest_jobs) - 1

    assert not any(due(worker, limits, now_ns=0) for worker in workers)
    assert Limits().fewest_jobs == float("inf")


def test_pool_replaces_its_old_workers_one_after_the_other() -> None:
    """In virtual time, on the mock layer: ten seconds, and none serves longer."""

    async def births() -> set[int]:
        settings = PoolSettings(size=4, max_age=10, usage_interval=0.05)
        async with Pool(WorkerSpec(target=repr), MockTransport(), settings) as pool:
            await simulation.advance(10.1)
            workers = pool.workers()
            assert [worker.epoch for worker in workers] == [2, 2, 2, 2]
            return {worker.born_ns for worker in workers}

    assert len(simulation.run(births())) == 4
