"""A supervisor of N equal children, each reached by a key."""

import os
import zlib
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, fields, replace
from typing import ClassVar

from poolproof.supervision.answers import RefusedError
from poolproof.supervision.events import Sink
from poolproof.supervision.process import Parent, Process
from poolproof.supervision.registry import Scope
from poolproof.supervision.spec import ChildSpec, ChildType, Policy, Problem, SpecError, is_count
from poolproof.supervision.supervisor import Supervisor, SupervisorSpec, booted


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSupervisorSpec(Policy):
    """N copies of one child, with the ids 0 to N - 1; it is also the starter of such a supervisor.

    Attributes:
        child: what each partition is; its id is replaced by the partition's number.
        partitions: how many; None is one for each processor.
        with_arguments: makes the specification of one partition, where they are not all equal.
    """

    child: ChildSpec
    partitions: int | None = None
    with_arguments: Callable[[ChildSpec, int], ChildSpec] | None = None
    child_type: ClassVar[ChildType] = "supervisor"

    def problems(self, where: str = "supervisor") -> list[Problem]:
        """Return everything that is wrong in this specification."""
        if self.partitions is not None and (not is_count(self.partitions) or self.partitions == 0):
            return [
                Problem(
                    where=f"{where}.partitions",
                    expected="an int >= 1 or None",
                    got=repr(self.partitions),
                )
            ]
        return self.expanded().problems(where)

    def expanded(self) -> SupervisorSpec:
        """Return the supervisor with its partitions spelled out."""
        number = self.partitions or os.cpu_count() or 1
        policy = {field.name: getattr(self, field.name) for field in fields(Policy)}
        return SupervisorSpec(
            children=[self._partition(index) for index in range(number)], **policy
        )

    def _partition(self, index: int) -> ChildSpec:
        spec = self.child if self.with_arguments is None else self.with_arguments(self.child, index)
        return replace(spec, id=index)

    def start(
        self, parent: Parent, child_id: Hashable, /
    ) -> "PartitionSupervisor | Awaitable[PartitionSupervisor]":
        """Start the supervisor as a child of another."""
        path = (*parent.path, str(child_id))
        above = parent if isinstance(parent, Process) else None
        supervisor = PartitionSupervisor(
            self.expanded(), path=path, scope=parent.scope, sink=parent.sink, parent=above
        )
        return booted(supervisor)


class PartitionSupervisor(Supervisor):
    """A running supervisor of partitions."""

    __slots__ = ()

    def route(self, key: Hashable) -> Process:
        """Return the process of the partition that `key` belongs to.

        An int by modulo, all else by a stable hash.

        Raises:
            RefusedError: `restarting` or `not_found`: that partition has no process now.
        """
        index = partition_of(key, len(self.children))
        entry = self.children.get(index)
        if entry is None or entry.process is None:
            raise RefusedError(
                "not_found" if entry is None or entry.status == "stopped" else "restarting", index
            )
        return entry.process


def partition_of(key: Hashable, partitions: int) -> int:
    """Return the number of the partition for `key`.

    The same in every process, whatever the hash seed.
    """
    if isinstance(key, int):
        return key % partitions
    return zlib.crc32(repr(key).encode()) % partitions


async def start_partition_supervisor(
    spec: PartitionSupervisorSpec,
    *,
    name: str = "partitions",
    scope: Scope | None = None,
    sink: Sink | None = None,
) -> PartitionSupervisor:
    """Start a supervisor of partitions of its own.

    Raises:
        SpecError: the specification is wrong; every reason is given.
        StartError: a partition did not start; those that had are stopped again.
    """
    if problems := spec.problems(name):
        raise SpecError(problems)
    supervisor = PartitionSupervisor(
        spec.expanded(), path=(name,), scope=scope or Scope(name), sink=sink
    )
    started = booted(supervisor)
    return started if isinstance(started, PartitionSupervisor) else await started
