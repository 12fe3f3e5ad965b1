"""How a trial is waited for: until a fact, or until something is suspected; and how that is confirmed or refuted."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

import pytest

from poolproof.chaos import patience
from poolproof.chaos.patience import Patience
from poolproof.chaos.slots import Slots
from poolproof.history import Event
from poolproof.plan import Plan, Target
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity
from poolproof.watch.quiet import Empty, Fingerprint, Idling, Motion, Moving, Quiet, Verdict

if TYPE_CHECKING:
    from poolproof.chaos.rig import Rig

pytestmark = pytest.mark.unit

QUIET = Quiet(since_ns=1, due_ns=None)
IDLING = Idling(since_ns=1, periods=3, period_ns=5)
RUNS = Moving("it runs")
GONE = Identity(2**22 + 1, 7)


def fingerprint(cpu_seconds: float = 0.0, pid: int = 1) -> Fingerprint:
    schedstat = (round(cpu_seconds * 1e9), 0, 0)
    return Fingerprint(
        members=frozenset({(pid, 1, pid, False)}), progress=frozenset({(pid, b"", schedstat)})
    )


class Stage:
    """In place of a `Rig`, its trial, its watch and its census: the tree looks as the test says."""

    def __init__(self, *, deadline: float = 60.0, seconds: float = 60.0) -> None:
        target = Target(name="p:m", cwd="/", python="/python", deadline=deadline)
        self.plan = Plan(target=target)
        self.trial = self.watch = self.census = self
        self.owner = cast("Identity", procfs.identity(os.getpid()))
        self.slots = Slots(running=1, parked=1, end=time.monotonic() + seconds)
        self.events: list[Event] = []
        self.told: list[tuple[str, Any]] = []
        self.verdict: Verdict = RUNS
        self.moved = Motion.NONE
        self.print = fingerprint()
        self.members: frozenset[object] = frozenset({1})
        self.looks = 0
        self.children: tuple[int, ...] = ()
        self.stuck: int | None = None
        self.soon: Callable[[], None] | None = None

    # the rig

    def absorb(self) -> bool:
        before = len(self.events)
        if self.soon:
            self.soon()
        return len(self.events) > before

    def pending(self) -> list[int]:
        return [7]

    def livelock(self) -> int | None:
        return self.stuck

    def workers(self) -> list[Identity]:
        return [Identity(1, 1)]

    def left(self) -> list[Identity]:
        return [Identity(1, 1), Identity(2, 2)]

    # its trial and its census

    def processes(self) -> tuple[int, ...]:
        return self.children

    def write(self, kind: str, *, op: str, data: dict[str, Any]) -> None:
        self.told.append((kind, {"op": op, **data}))

    def take(self) -> None: ...

    # its watch

    def look(self, _mark: int) -> Verdict:
        self.looks += 1
        return self.verdict

    def fingerprint(self) -> Fingerprint:
        return self.print

    def motion_since(self, _earlier: Fingerprint) -> Motion:
        return self.moved

    @property
    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.told]

    def says(self) -> None:
        self.events.append(Event(t=1, kind="note"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICK_SECONDS", "LOOK_SECONDS", "PARK_TICK_SECONDS", "LEAST_PARK_SECONDS"):
        monkeypatch.setattr(patience, name, 0.0001)
    monkeypatch.setattr(patience, "AFTER_DUE_SECONDS", 0.0)
    monkeypatch.setattr(patience, "SPIN_SECONDS", 0.01)
    monkeypatch.setattr(patience, "REST_SECONDS", 0.02)


def never() -> bool:
    return False


def settled(stage: Stage, done: Callable[[], bool] = never, **more: Any) -> bool:
    return asyncio.run(Patience(cast("Rig", stage)).settle(done, "job", **more))


def parked(stage: Stage, done: Callable[[], bool] = never, op: str = "job") -> bool:
    """Settle, and park what is then suspected."""

    async def scenario() -> bool:
        one = Patience(cast("Rig", stage))
        async with stage.slots.running():
            return await one.settle(done, op) or await one.park(done, op)

    return asyncio.run(scenario())


class TestSettling:
    def test_a_fact_ends_the_wait_at_once(self) -> None:
        stage = Stage()

        assert settled(stage, lambda: True)
        assert stage.told == []

    def test_a_quiet_tree_is_suspected_and_that_is_journalled(self) -> None:
        stage = Stage()
        stage.verdict = QUIET

        assert not settled(stage)
        ((kind, data),) = stage.told
        assert (kind, data["why"], data["op"], data["pending"]) == ("suspect", "quiet", "job", [7])
        assert 0 <= data["waited_ms"] < 10_000

    def test_what_the_history_says_begins_the_wait_anew(self) -> None:
        stage = Stage()
        stage.verdict = QUIET
        words = iter(range(20))
        stage.soon = lambda: stage.says() if next(words, None) is not None else None

        assert not settled(stage)
        assert len(stage.events) == 20

    def test_a_dead_owner_is_told_without_a_look(self) -> None:
        stage = Stage()
        stage.owner = GONE

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "owner-gone"
        assert stage.looks == 0

    def test_a_job_that_is_started_for_ever_is_told_without_a_look(self) -> None:
        stage = Stage()
        stage.stuck = 3

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "livelock"

    def test_a_wait_beyond_the_deadline_is_overdue(self) -> None:
        stage = Stage(deadline=0.01)

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "overdue"
        assert stage.told[0][1]["waited_ms"] >= 10

    def test_a_wait_beyond_the_end_of_the_run_is_overdue(self) -> None:
        assert not settled(Stage(seconds=0))

    def test_a_patient_wait_gives_up_only_at_the_deadline(self) -> None:
        stage = Stage(deadline=0.02)
        stage.verdict = QUIET

        assert not settled(stage, patient=True)
        assert stage.told[0][1]["why"] == "overdue"
        assert stage.looks > 0

    def test_one_that_computes_for_long_without_a_word_is_suspected(self) -> None:
        stage = Stage()

        def compute() -> None:
            stage.print = fingerprint(stage.looks * 0.1)

        stage.soon = compute

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "spinning"

    def test_births_and_deaths_are_movement(self) -> None:
        stage = Stage(deadline=0.1)
        stage.soon = lambda: setattr(stage, "print", fingerprint(stage.looks, pid=stage.looks))

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "overdue"

    def test_bytes_that_move_are_movement(self, monkeypatch: pytest.MonkeyPatch) -> None:
        stage = Stage(deadline=0.1)
        stage.children = (1,)
        read = iter(range(10**9))
        monkeypatch.setattr(procfs, "transferred_bytes", lambda _pid: next(read))
        stage.soon = lambda: setattr(stage, "print", fingerprint(stage.looks))

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "overdue"

    def test_memory_that_is_filled_is_movement(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """So does who copies an answer of a hundred mebibytes, for seconds on a crowded machine."""
        stage = Stage(deadline=0.1)
        stage.children = (1,)
        filled = iter(range(0, 10**15, 2**20))
        monkeypatch.setattr(procfs, "rss_bytes", lambda _pid: next(filled))
        stage.soon = lambda: setattr(stage, "print", fingerprint(stage.looks))

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "overdue"

    def test_an_empty_tree_may_still_fill(self) -> None:
        stage = Stage(deadline=0.01)
        stage.verdict, stage.members = Empty(since_ns=1), frozenset()

        assert not settled(stage)
        assert stage.told[0][1]["why"] == "overdue"


@pytest.mark.parametrize("verdict", [QUIET, IDLING])
def test_rest_is_over_when_nothing_moves(verdict: Verdict) -> None:
    stage = Stage()
    stage.verdict = verdict
    asyncio.run(Patience(cast("Rig", stage)).rest())

    assert stage.looks == 1


def test_rest_is_bounded() -> None:
    stage = Stage()
    asyncio.run(Patience(cast("Rig", stage)).rest())

    assert stage.looks >= 1


@pytest.mark.parametrize(
    ("verdict", "costly"), [(QUIET, False), (IDLING, True)], ids=["quiet", "idling"]
)
def test_what_takes_long_to_confirm_is_costly(verdict: Verdict, *, costly: bool) -> None:
    stage = Stage()
    stage.verdict = verdict
    one = Patience(cast("Rig", stage))
    before = (one.costly, one.still_suspects())
    asyncio.run(one.settle(never, "job"))

    assert before == (False, False)
    assert one.costly is costly
    assert one.still_suspects()
    stage.says()
    assert not one.still_suspects()


class TestParking:
    def test_what_stays_as_it_is_is_judged(self) -> None:
        stage = Stage()
        stage.verdict = QUIET

        assert not parked(stage)
        assert stage.kinds == ["suspect", "judged"]
        assert stage.told[1][1]["alive"] == [1]
        assert stage.told[1][1]["waited_ms"] >= stage.told[0][1]["waited_ms"]

    def test_who_outlives_its_owner_is_named(self) -> None:
        stage = Stage()
        stage.verdict = QUIET
        parked(stage, op="owner")

        assert stage.told[1][1]["alive"] == [1, 2]

    def test_what_comes_after_all_refutes_it(self) -> None:
        stage = Stage()
        stage.verdict = QUIET

        assert parked(stage, lambda: "suspect" in stage.kinds)
        assert stage.kinds == ["suspect", "moved"]

    def test_one_that_moved_is_watched_again(self) -> None:
        stage = Stage()
        stage.verdict, stage.moved = QUIET, Motion.RAN

        def calm_down() -> None:
            if stage.kinds.count("suspect") == 2:
                stage.moved = Motion.NONE

        stage.soon = calm_down

        assert not parked(stage)
        assert stage.kinds == ["suspect", "suspect", "judged"]

    def test_one_that_moved_and_then_was_done_is_refuted(self) -> None:
        stage = Stage()
        stage.verdict, stage.moved = QUIET, Motion.RAN
        asked = iter([False] * 3)
        done = lambda: next(asked, True)  # noqa: E731

        assert parked(stage, done)
        assert stage.kinds[-1] == "moved"

    def test_without_time_it_is_not_judged(self) -> None:
        stage = Stage(seconds=0.01)
        stage.verdict = QUIET
        stage.moved = Motion.CHANGED

        assert not parked(stage)
        assert stage.kinds[-1] == "unjudged"

    @pytest.mark.parametrize("why", ["owner-gone", "livelock"])
    def test_what_cannot_become_better_is_judged_whatever_moves(self, why: str) -> None:
        stage = Stage()
        stage.moved = Motion.CHANGED
        if why == "livelock":
            stage.stuck = 3
        else:
            stage.owner = GONE

        assert not parked(stage)
        assert stage.told[1][0] == "judged"
        assert stage.told[1][1]["why"] == why

    def test_one_that_only_polls_is_judged(self) -> None:
        stage = Stage()
        stage.verdict, stage.moved = IDLING, Motion.RAN

        assert not parked(stage)
        assert stage.kinds == ["suspect", "judged"]

    def test_an_empty_tree_is_never_confirmed_by_its_stillness(self) -> None:
        stage = Stage(deadline=0.005)
        stage.verdict, stage.members = Empty(since_ns=1), frozenset()

        assert not parked(stage)
        assert stage.kinds[-1] == "judged"
        assert stage.told[-1][1]["waited_ms"] > 10 * 5


class TestSpinning:
    @pytest.fixture
    def spinner(self, monkeypatch: pytest.MonkeyPatch) -> Stage:
        """A tree that computes as it is looked at, and is confirmed after a tenth of a second of it."""
        stage = Stage(deadline=0.05)
        monkeypatch.setattr(patience, "SPIN_CPU_NS", 100_000_000)
        # Overdue comes first where the deadline is so short.
        monkeypatch.setattr(Patience, "_evident", lambda *_: None)
        stage.moved = Motion.RAN
        stage.soon = lambda: setattr(stage, "print", fingerprint(stage.print.cpu_ns / 1e9 + 0.01))
        return stage

    def test_it_is_judged_only_after_it_has_really_computed(self, spinner: Stage) -> None:
        assert not parked(spinner)
        assert spinner.kinds == ["suspect", "judged"]

    def test_one_that_moves_bytes_meanwhile_is_watched_again(
        self, spinner: Stage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spinner.children = (2**22 + 1,)
        spinner.slots.end = time.monotonic() + 0.4
        parked_for = 0

        def step() -> None:
            nonlocal parked_for
            parked_for += spinner.kinds == ["suspect"]
            spinner.print = fingerprint(spinner.print.cpu_ns / 1e9 + 0.01)

        spinner.soon = step
        # The first time is that of the suspicion itself.
        monkeypatch.setattr(procfs, "transferred_bytes", lambda _pid: parked_for > 1)

        assert not parked(spinner)
        assert spinner.kinds[:2] == ["suspect", "suspect"]

    def test_one_that_changes_need_not_compute_on(self, spinner: Stage) -> None:
        def step() -> None:
            if spinner.kinds == ["suspect"]:
                spinner.moved = Motion.CHANGED
            else:
                spinner.moved = Motion.RAN
                spinner.print = fingerprint(spinner.print.cpu_ns / 1e9 + 0.01)

        spinner.soon = step
        spinner.slots.end = time.monotonic() + 0.4

        assert not parked(spinner)
        assert spinner.kinds[:2] == ["suspect", "suspect"]


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


def test_a_tree_that_spins_gets_only_the_time_that_nobody_else_wants(
    child: subprocess.Popen[bytes],
) -> None:
    patience._make_nice([child.pid, 2**22 + 1])

    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 19


@pytest.mark.skipif(os.geteuid() != 0, reason="the way back needs privilege")
def test_a_tree_that_was_suspected_in_error_is_as_nice_as_it_was(
    child: subprocess.Popen[bytes],
) -> None:
    os.setpriority(os.PRIO_PROCESS, child.pid, 5)
    before = patience._make_nice([child.pid])

    patience._undo_nice([child.pid, 2**22 + 1], before)

    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 5


@pytest.mark.skipif(os.geteuid() != 0, reason="the way back needs privilege")
def test_who_was_born_beside_it_gets_the_share_of_the_others(
    child: subprocess.Popen[bytes],
) -> None:
    patience._make_nice([child.pid])

    patience._undo_nice([child.pid], {2**22 + 1: 3})

    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 3
