"""No new process, and the owner's death: done to the owner that the scene names, and undone."""

import resource

import pytest

from poolproof.faults import FAULTS
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from tests.unit.faults.conftest import Born, Stage

pytestmark = pytest.mark.unit

SPEC = FaultSpec(kind="any")


def test_the_owner_may_start_no_process_until_it_is_healed(stage: Stage, born: Born) -> None:
    stage.owner, victim = born(), born()
    fault = FAULTS["spawn-failure"]
    before = resource.prlimit(stage.owner.pid, resource.RLIMIT_NPROC)
    none = fault.receipt(stage, SPEC, [victim])
    fault.inject(stage, SPEC, [victim])
    while (text := fault.receipt(stage, SPEC, [victim])) is None:
        pass
    bound = resource.prlimit(stage.owner.pid, resource.RLIMIT_NPROC)
    doubt = fault.healed(stage, SPEC, [victim])
    fault.heal(stage, SPEC, [victim])

    assert none is None
    assert text == (
        f"gone from /proc: process {victim.pid} (born {victim.born}); the owner may have 1 process"
    )
    assert bound == (1, before[1])
    assert doubt is None
    assert resource.prlimit(stage.owner.pid, resource.RLIMIT_NPROC) == before
    assert fault.healed(stage, SPEC, [victim])
    assert not procfs.alive(victim)
    assert procfs.alive(stage.owner)


@pytest.mark.parametrize("kind", ["spawn-failure", "fork-refused"])
def test_whoever_cannot_be_replaced_is_killed_with_all_others(
    kind: str, stage: Stage, born: Born
) -> None:
    """A pool that has one worker left would serve on, and nothing be seen of what it does without."""
    stage.workers_now = [born(), born()]

    assert FAULTS[kind].victims(stage, SPEC) == stage.workers_now


def test_an_owner_that_is_gone_needs_no_heal(stage: Stage) -> None:
    stage.owner = Identity(2**22 + 1, 7)

    assert FAULTS["spawn-failure"].heal(stage, SPEC, []) is None


@pytest.mark.parametrize("kind", ["owner-killed", "owner-killed-idle"])
def test_the_owner_is_the_victim(kind: str, stage: Stage, born: Born) -> None:
    stage.owner = born()
    fault = FAULTS[kind]
    victims = fault.victims(stage, SPEC)
    fault.inject(stage, SPEC, victims)
    while fault.receipt(stage, SPEC, victims) is None:
        pass

    assert victims == [stage.owner]
    assert not procfs.alive(stage.owner)
