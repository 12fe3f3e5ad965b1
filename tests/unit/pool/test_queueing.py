"""A waiting line, claim by claim; what holds in any order is said by its model."""

import pytest

from poolproof.pool.queueing import Line
from tests.unit.pool.models.line import Job

pytestmark = pytest.mark.unit


def line_of(*jobs: Job, order: str = "fifo", limit: int = 3) -> Line[Job]:
    line: Line[Job] = Line("lifo" if order == "lifo" else "fifo", limit=limit)
    for job in jobs:
        assert line.join(job, now_ns=1) is None
    return line


def test_fifo_serves_who_waits_longest() -> None:
    line = line_of(Job(1), Job(2))

    assert [job and job.number for job in (line.take(1), line.take(1), line.take(1))] == [
        1,
        2,
        None,
    ]


def test_lifo_serves_who_came_last() -> None:
    line = line_of(Job(1), Job(2), order="lifo")

    assert [job and job.number for job in (line.take(1), line.take(1))] == [2, 1]


def test_full_fifo_sheds_the_newcomer() -> None:
    line, late = line_of(Job(1), limit=1), Job(2)

    assert line.join(late, now_ns=1) is late
    assert (len(line), line.shed, line.longest) == (1, 1, 1)


def test_full_lifo_sheds_who_waits_longest() -> None:
    first = Job(1)
    line = line_of(first, Job(2), order="lifo", limit=2)

    assert line.join(Job(3), now_ns=1) is first
    assert [job.number for job in line] == [2, 3]


@pytest.mark.parametrize("order", ["fifo", "lifo"])
def test_line_without_a_place_sheds_everybody(order: str) -> None:
    line, job = line_of(order=order, limit=0), Job(1)

    assert line.join(job, now_ns=1) is job


def test_nobody_is_shed_while_the_dead_stand_in_line() -> None:
    line = line_of(Job(1, deadline_ns=5), limit=1)

    assert line.join(Job(2), now_ns=5) is None
    assert [job.number for job in line.expired(now_ns=5)] == [1]


def test_job_is_never_served_at_its_deadline_or_later() -> None:
    assert line_of(Job(1, deadline_ns=5)).take(now_ns=4)
    assert line_of(Job(1, deadline_ns=5)).take(now_ns=5) is None


def test_expired_are_told_once_the_earliest_first() -> None:
    line = line_of(Job(1, deadline_ns=9), Job(2, deadline_ns=5), Job(3))

    assert [job.number for job in line.expired(now_ns=9)] == [2, 1]
    assert line.expired(now_ns=9) == []
    assert [job.number for job in line] == [3]


def test_cancelled_job_leaves_its_place() -> None:
    job = Job(1, deadline_ns=5)
    line = line_of(job, limit=1)

    assert line.leave(job)
    assert job not in line
    assert line.join(Job(2), now_ns=1) is None
    assert line.next_deadline_ns() == 0


@pytest.mark.parametrize("order", ["fifo", "lifo"])
def test_job_given_back_is_the_next_even_if_the_line_is_full(order: str) -> None:
    line = line_of(Job(1), Job(2), order=order, limit=2)
    taken = line.take(now_ns=1)
    assert taken
    line.join(Job(3), now_ns=1)

    line.give_back(taken)

    assert len(line) == 3
    assert line.take(now_ns=1) is taken


def test_job_given_back_with_more_time_is_judged_by_that() -> None:
    line = line_of(Job(1, deadline_ns=9), Job(2, deadline_ns=5))
    taken = line.take(now_ns=1)
    assert taken
    taken.deadline_ns = 20
    line.give_back(taken)

    assert [job.number for job in line.expired(now_ns=10)] == [2]
    assert line.next_deadline_ns() == 20


def test_what_is_kept_of_those_who_left_is_bounded() -> None:
    """One who stays, and whose deadline is the first, keeps the others' from being looked at."""
    line = line_of(Job(0, deadline_ns=10))
    for number in range(1, 10_000):
        job = Job(number, deadline_ns=number + 10)
        line.join(job, now_ns=1)
        line.leave(job)

    assert len(line._deadlines) < 100
    assert line.next_deadline_ns() == 10
