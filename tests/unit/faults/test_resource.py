"""Faults of scarcity: the limit is set on the right process, refuses, and is given back."""

import resource

import pytest

from poolproof.faults import FAULTS
from poolproof.faults.resource import ALLOCATION_BYTES, MEMORY_MARGIN_BYTES
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from tests.unit.faults.conftest import Born, Stage

pytestmark = pytest.mark.unit

SPEC = FaultSpec(kind="any")
KINDS = ["fd-exhaustion-worker", "fd-exhaustion-owner", "memory-limit-worker", "memory-limit-owner"]
WHICH = {"fd": resource.RLIMIT_NOFILE, "memory": resource.RLIMIT_AS}


def which(kind: str) -> int:
    return WHICH[kind.partition("-")[0]]


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_binds_and_is_given_back_as_it_was(kind: str, stage: Stage, born: Born) -> None:
    victim = born()
    _, hard = resource.prlimit(victim.pid, which(kind))
    before = (hard // 2 if hard > 0 else 1 << 40, hard)
    resource.prlimit(victim.pid, which(kind), before)
    FAULTS[kind].inject(stage, SPEC, [victim])
    bound = resource.prlimit(victim.pid, which(kind))
    doubt = FAULTS[kind].healed(stage, SPEC, [victim])
    FAULTS[kind].heal(stage, SPEC, [victim])

    assert bound[0] < before[0]
    assert bound[1] == hard
    assert doubt is None
    assert resource.prlimit(victim.pid, which(kind)) == before
    assert FAULTS[kind].healed(stage, SPEC, [victim])


def test_descriptors_end_where_the_lowest_free_one_is(stage: Stage, born: Born) -> None:
    victim = born()
    used = {int(number) for number, _ in procfs.links(victim.pid)}
    FAULTS["fd-exhaustion-worker"].inject(stage, SPEC, [victim])
    soft, _ = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)

    assert used == set(range(soft))


def test_memory_ends_a_little_above_what_is_used(stage: Stage, born: Born) -> None:
    victim = born()
    used = int(procfs.read(f"/proc/{victim.pid}/statm").split()[0]) * resource.getpagesize()
    FAULTS["memory-limit-worker"].inject(stage, SPEC, [victim])
    soft, _ = resource.prlimit(victim.pid, resource.RLIMIT_AS)

    assert used < soft <= used + 2 * MEMORY_MARGIN_BYTES < used + ALLOCATION_BYTES


def test_who_is_gone_by_then_is_passed_over(stage: Stage) -> None:
    gone = [Identity(2**22 + 1, 7)]
    for kind in KINDS:
        FAULTS[kind].inject(stage, SPEC, gone)
        FAULTS[kind].heal(stage, SPEC, gone)

        assert FAULTS[kind].healed(stage, SPEC, gone)


def test_a_worker_born_of_a_limited_owner_is_given_the_same_back(stage: Stage, born: Born) -> None:
    kind, limit = "fd-exhaustion-owner", resource.RLIMIT_NOFILE
    stage.owner, heir = born(), born()
    before = resource.prlimit(stage.owner.pid, limit)
    FAULTS[kind].inject(stage, SPEC, [stage.owner])
    resource.prlimit(heir.pid, limit, resource.prlimit(stage.owner.pid, limit))
    stage.workers_now = [heir]
    FAULTS[kind].heal(stage, SPEC, [stage.owner])

    assert resource.prlimit(heir.pid, limit) == before


def test_where_nothing_was_limited_nothing_is_changed(stage: Stage, born: Born) -> None:
    victim = born()
    _, hard = resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (100, hard))
    stage.workers_now = [victim]
    FAULTS["fd-exhaustion-worker"].heal(stage, SPEC, [victim])

    assert FAULTS["fd-exhaustion-worker"].healed(stage, SPEC, [victim])
    assert resource.prlimit(victim.pid, resource.RLIMIT_NOFILE)[0] == 100


def test_it_is_the_owner_or_every_worker_that_is_hit(stage: Stage) -> None:
    stage.owner, stage.workers_now = Identity(1, 1), [Identity(2, 2), Identity(3, 3)]

    assert FAULTS["memory-limit-owner"].victims(stage, SPEC) == [stage.owner]
    assert FAULTS["memory-limit-worker"].victims(stage, SPEC) == stage.workers_now


def test_an_error_of_the_kernel_in_a_faulted_job_is_the_receipt(stage: Stage) -> None:
    stage.faulted = (4,)
    receipt = FAULTS["fd-exhaustion-worker"].receipt
    stage.saw("raised", job=3, pid=9, error="OSError", message="[Errno 24] Too many open files")
    other = receipt(stage, SPEC, [])
    stage.saw("raised", job=4, pid=9, error="OSError", message="[Errno 24] Too many open files")

    assert other is None
    assert receipt(stage, SPEC, []) == (
        "OSError in job 4, process 9: [Errno 24] Too many open files"
    )


def test_a_refusal_to_the_owner_is_the_receipt(stage: Stage) -> None:
    stage.saw("effect", pid=8, data={"effect": "refused"}, error="MemoryError", message="")

    assert FAULTS["memory-limit-owner"].receipt(stage, SPEC, []) == (
        "MemoryError in the owner, process 8: "
    )
