"""How a pool comes from the workers it has to those it should have: resizing, and rolling replacement.

Both are asked again after every step, and say only what to do next: so they hold whatever happens
between two steps, as workers that die or do not start.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from poolproof.pool.worker import Worker


class Plan(NamedTuple):
    """What to do next.

    Attributes:
        start: the numbers to start workers for.
        retire: the workers that get no more jobs, and are terminated when they have none left.
    """

    start: Sequence[int] = ()
    retire: Sequence[Worker] = ()

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        return not self.start and not self.retire


def resize(workers: Collection[Worker], size: int) -> Plan:
    """Return how to come to `size` workers that stay.

    Started are the lowest free numbers. Retired are first those that serve least: not healthy, then
    with the fewest jobs in flight, then the highest number.
    """
    assert size >= 0
    staying = _staying(workers)
    if len(staying) <= size:
        return Plan(start=_free_numbers(workers, size - len(staying)))
    ranked = sorted(staying, key=_usefulness)
    return Plan(retire=ranked[: len(staying) - size])


def replace_all(
    workers: Collection[Worker], born_before_ns: int, *, size: int, surge: int = 1
) -> Plan:
    """Return the next step of a rolling replacement of all workers born before a time.

    At no time do fewer than `size` workers serve on its account: an old one is retired only when
    `size` others serve, and at most `surge` more than `size` exist besides those that retire.

    Args:
        workers: all there are.
        born_before_ns: those made before are to go.
        size: how many shall serve.
        surge: how many more there may be meanwhile.
    """
    assert surge > 0
    staying = _staying(workers)
    old = sorted((worker for worker in staying if worker.born_ns < born_before_ns), key=_usefulness)
    if not old:
        return resize(workers, size)
    serving = sum(worker.state in {"ready", "busy"} for worker in staying)
    not_serving = [worker for worker in old if worker.state not in {"ready", "busy"}]
    spare = max(0, serving - size)
    retire = not_serving + [worker for worker in old if worker not in not_serving][:spare]
    left = len(staying) - len(retire)
    fresh = sum(worker.born_ns >= born_before_ns for worker in staying)
    wanted = min(size + surge - left, size - fresh)
    return Plan(start=_free_numbers(workers, max(0, wanted)), retire=retire)


def overflow(workers: Collection[Worker], waiting: int, *, size: int, limit: int) -> Plan:
    """Return whether to start or retire workers beyond `size`, of which there may be `limit`.

    One is started for each job that waits and that no starting worker will take; one that is idle is
    retired when nobody waits.
    """
    staying = _staying(workers)
    if waiting:
        starting = sum(worker.state == "initializing" for worker in staying)
        wanted = min(waiting - starting, size + limit - len(staying))
        return Plan(start=_free_numbers(workers, max(0, wanted)))
    idle = [worker for worker in staying if worker.state == "ready" and not worker.in_flight]
    idle.sort(key=lambda worker: -worker.number)
    return Plan(retire=idle[: max(0, len(staying) - size)])


def _staying(workers: Collection[Worker]) -> list[Worker]:
    return [worker for worker in workers if not worker.retiring and not worker.should_remove()]


def _usefulness(worker: Worker) -> tuple[bool, int, int]:
    return worker.health == "healthy", worker.in_flight, -worker.number


def _free_numbers(workers: Collection[Worker], count: int) -> list[int]:
    taken = {worker.number for worker in workers if worker.state != "terminated"}
    numbers = range(len(taken) + count)
    return [number for number in numbers if number not in taken][:count]
