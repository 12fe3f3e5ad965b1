"""Sequential models of a pool, for the linearizability of its histories: its leases, its jobs."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from poolproof.checkers.linearizability import Operation
from poolproof.errors import UsageError

REFUSED: Final = "refused"
CANCELLED: Final = "cancelled"

Leases = frozenset[tuple[Hashable, Hashable]]
JobState = tuple[str, Hashable]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseModel:
    """Workers are lent to one client at a time. The state is who holds which worker.

    Operations: `checkout` (answer: the worker, or `REFUSED`), `checkin` of a worker (answer: True
    if the asking client held it), `kill` of a worker (its lease ends; another takes its name).

    Attributes:
        workers: the names of all workers.
        refuses: `when full`: a checkout is refused only while every worker is lent; `at any time`
            for pools that also refuse for other reasons.
    """

    workers: tuple[Hashable, ...]
    refuses: Literal["when full", "at any time"] = "when full"

    def initial(self) -> Leases:
        """Return that nothing is lent."""
        return frozenset()

    def step(self, state: Leases, operation: Operation, /) -> Iterable[Leases]:
        """Return what the leases can be afterwards; see `Model`."""
        match operation.name:
            case "checkout":
                return self._checkout(state, operation)
            case "checkin":
                return _checkin(state, operation)
            case "kill":
                return [_without(state, operation.argument)]
            case name:
                raise UsageError(f"expected checkout, checkin or kill, got the operation {name!r}")

    def _checkout(self, state: Leases, operation: Operation) -> Iterator[Leases]:
        lent = {worker for worker, _ in state}
        wanted = self.workers if operation.returned is None else (operation.answer,)
        full = len(lent) >= len(self.workers)
        if operation.answer == REFUSED and (full or self.refuses == "at any time"):
            yield state
        for worker in wanted:
            if worker in self.workers and worker not in lent:
                yield state | {(worker, operation.client)}


def _without(state: Leases, worker: Hashable) -> Leases:
    return frozenset(lease for lease in state if lease[0] != worker)


def _checkin(state: Leases, operation: Operation) -> Iterator[Leases]:
    held = (operation.argument, operation.client) in state
    if operation.returned is None or held == operation.answer:
        yield state - {(operation.argument, operation.client)}


def by_worker(operation: Operation) -> Hashable:
    """Return the worker that an operation touches: leases of different workers are independent.

    Only for histories without refusals and open checkouts: those touch all workers.
    """
    worker: Hashable = operation.answer if operation.name == "checkout" else operation.argument
    return worker


def reads(operation: Operation) -> bool:
    """Return whether an operation on leases, so answered, changes nothing: a refusal does not."""
    if operation.returned is None:
        return False
    refused = REFUSED if operation.name == "checkout" else False
    return operation.name != "kill" and bool(operation.answer == refused)


class JobModel:
    """One job is accepted or refused, and then has one outcome for ever. Partition with `by_job`.

    Operations, each with the job as argument: `submit` (answer: `accepted` or `REFUSED`), `cancel`
    (answer: True if the job will not have another outcome because of it), `result` (answer: any
    hashable, `CANCELLED` if the job was cancelled).
    """

    def initial(self) -> JobState:
        """Return that the job is not known."""
        return "absent", None

    def step(self, state: JobState, operation: Operation, /) -> Iterable[JobState]:
        """Return what can have become of the job afterwards; see `Model`."""
        steps = {"submit": _submit, "cancel": _cancel, "result": _result}
        if operation.name not in steps:
            raise UsageError(f"expected one of {', '.join(steps)}, got {operation.name!r}")
        return steps[operation.name](state, operation)


def by_job(operation: Operation) -> Hashable:
    """Return the job that an operation is about."""
    key: Hashable = operation.argument
    return key


def _submit(state: JobState, operation: Operation) -> Iterator[JobState]:
    if state[0] == "absent":
        if operation.returned is None or operation.answer == REFUSED:
            yield "refused" if operation.returned else "absent", None
        if operation.returned is None or operation.answer != REFUSED:
            yield "accepted", None


def _cancel(state: JobState, operation: Operation) -> Iterator[JobState]:
    if state[0] == "accepted" and (operation.returned is None or operation.answer):
        yield "over", CANCELLED
    if operation.returned is None or (state[0] != "accepted" and not operation.answer):
        yield state


def _result(state: JobState, operation: Operation) -> Iterator[JobState]:
    if operation.returned is None:
        yield state
    elif state[0] == "accepted" and operation.answer != CANCELLED:
        yield "over", operation.answer
    elif state == ("over", operation.answer):
        yield state
