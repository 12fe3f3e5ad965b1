"""Faults by signal: who is hit, what happens to it, and what proves it."""

import asyncio
import inspect
import signal
from collections.abc import Callable

import pytest

from poolproof.faults import FAULTS
from poolproof.faults.process import all_workers, busy, idle, most_workers
from poolproof.history import Event
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from tests.unit.faults.conftest import Born, Stage

pytestmark = pytest.mark.unit

SPEC = FaultSpec(kind="any")
WAITING = "print('ready', flush=True); input()"
IGNORING = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + WAITING
GONE = Identity(2**22 + 1, 7)  # above the greatest pid there can be


def inject(kind: str, stage: Stage, *victims: Identity) -> None:
    pending = FAULTS[kind].inject(stage, SPEC, victims)
    if inspect.isawaitable(pending):

        async def done() -> None:
            await pending

        asyncio.run(done())


def until(evidence: Callable[[], str | None]) -> str:
    """Ask until there is evidence; the kernel needs a moment."""
    while (text := evidence()) is None:
        pass
    return text


def test_the_busy_one_runs_the_first_faulted_job(stage: Stage) -> None:
    one, two = Identity(1, 1), Identity(2, 2)
    stage.faulted, stage.ran, stage.workers_now = (5, 6), {6: [two]}, [one]

    assert busy(stage, SPEC) == [two]


def test_any_worker_is_taken_where_nobody_can_tell_who_is_busy(stage: Stage) -> None:
    stage.faulted, stage.workers_now = (5,), [Identity(1, 1), Identity(2, 2)]

    assert busy(stage, SPEC) == [Identity(1, 1)]
    stage.workers_now = []
    assert busy(stage, SPEC) == []


def test_idle_ones_are_numbered_by_the_call_in_which_they_sleep(stage: Stage, born: Born) -> None:
    reads, pauses = born(), born("print('ready', flush=True); import time; time.sleep(600)")
    while procfs.state(reads.pid) != "S" or procfs.state(pauses.pid) != "S":
        pass
    stage.workers_now = [GONE, pauses, reads]
    chosen = [idle(stage, FaultSpec(kind="any", victim=f"idle:{n}")) for n in range(4)]

    assert chosen == [[reads], [pauses], [GONE], []]  # read is 0, clock_nanosleep 230


@pytest.mark.parametrize(("count", "hit"), [(0, 0), (1, 1), (2, 2), (3, 2), (5, 3), (10, 6)])
def test_most_is_sixty_percent_rounded_up(count: int, hit: int, stage: Stage) -> None:
    stage.workers_now = [Identity(n, n) for n in range(count)]

    assert most_workers(stage, SPEC) == stage.workers_now[:hit]
    assert all_workers(stage, SPEC) == stage.workers_now


@pytest.mark.parametrize("kind", ["kill-busy", "kill-all", "segv-busy", "kill-idle"])
def test_a_signal_ends_its_victims_and_proc_tells(kind: str, stage: Stage, born: Born) -> None:
    one, two = born(), born()
    fault = FAULTS[kind]

    assert fault.receipt(stage, SPEC, [one, two]) is None
    inject(kind, stage, one, two)
    text = until(lambda: fault.receipt(stage, SPEC, [one, two]))

    assert text == (
        f"gone from /proc: process {one.pid} (born {one.born}), process {two.pid} (born {two.born})"
    )


def test_one_survivor_is_no_receipt(stage: Stage, born: Born) -> None:
    assert FAULTS["kill-all"].receipt(stage, SPEC, [GONE, born()]) is None


def test_sigterm_that_kills_is_told_by_proc(stage: Stage, born: Born) -> None:
    victim = born()
    inject("term-busy", stage, victim)
    text = until(lambda: FAULTS["term-busy"].receipt(stage, SPEC, [victim]))

    assert text.startswith("gone from /proc")


@pytest.mark.parametrize(("mask", "moot"), [(1 << 14, True), (1 << 13, False), (0, False)])
def test_sigterm_is_moot_where_the_kernels_mask_says_that_it_is_handled(
    mask: int, *, moot: bool
) -> None:
    victims = [{"pid": 7, "born": 70, "handles": mask}]
    event = Event(t=1, kind="inject", data={"victims": victims})

    assert (FAULTS["term-idle"].moot([event]) is not None) is moot


def test_sigterm_that_is_ignored_leaves_no_receipt(stage: Stage, born: Born) -> None:
    victim = born(IGNORING)
    inject("term-idle", stage, victim)

    assert FAULTS["term-idle"].receipt(stage, SPEC, [victim]) is None
    assert procfs.handled_signals(victim.pid) >> (signal.SIGTERM - 1) & 1


def test_sigterm_has_no_receipt_while_a_process_that_it_must_kill_lives(
    stage: Stage, born: Born
) -> None:
    victim = born("import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL); " + WAITING)

    assert FAULTS["term-busy"].receipt(stage, SPEC, [victim]) is None


def test_a_frozen_process_runs_again_after_the_heal(stage: Stage, born: Born) -> None:
    victim = born()
    fault = FAULTS["freeze-busy"]
    inject("freeze-busy", stage, victim)
    frozen = until(lambda: fault.receipt(stage, SPEC, [victim]))
    still = fault.healed(stage, SPEC, [victim])
    fault.heal(stage, SPEC, [victim])
    running = until(lambda: fault.healed(stage, SPEC, [victim]))

    assert still is None
    assert frozen == f"state T in /proc: process {victim.pid} (born {victim.born})"
    assert running == f"no longer in state T: process {victim.pid} (born {victim.born})"
    assert procfs.state(victim.pid) in {"S", "R"}


def test_the_replacement_is_killed_as_well(stage: Stage, born: Born) -> None:
    victim, replacement = born(), born()
    rows = iter([[victim], [], [replacement]])
    stage.workers = lambda: next(rows)  # type: ignore[method-assign]
    inject("kill-starting", stage, victim)

    until(lambda: FAULTS["kill-starting"].receipt(stage, SPEC, [victim]))
    assert not procfs.alive(replacement)


def test_a_replacement_that_lives_on_is_no_receipt(stage: Stage, born: Born) -> None:
    victim, replacement = born(), born()
    stage.note(replacement={"pid": replacement.pid, "born": replacement.born})
    inject("kill-all", stage, victim)
    until(lambda: FAULTS["kill-all"].receipt(stage, SPEC, [victim]))

    assert FAULTS["kill-starting"].receipt(stage, SPEC, [victim]) is None


def test_a_replacement_that_never_comes_makes_the_fault_moot(
    stage: Stage, born: Born, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poolproof.faults.process.BIRTH_SECONDS", 0.01)
    victim = born()
    inject("kill-starting", stage, victim)

    assert FAULTS["kill-starting"].receipt(stage, SPEC, [victim]) is None
    assert "no replacement" in (FAULTS["kill-starting"].moot(stage.events) or "")
