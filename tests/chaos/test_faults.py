"""Every kind of fault on a real pool: it takes effect, two witnesses agree, it is undone; without inject, no receipt.

The trials run in the background, many at once, in the order of the tests that read them. The first witness is the
fault's own receipt. The second is psutil, asked at the same moments, or a process of the trial that must know.
"""

import asyncio
import dataclasses
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import psutil
import pytest

from poolproof.chaos import patience
from poolproof.chaos.slots import Slots
from poolproof.chaos.trials import Trials
from poolproof.checkers import Trial, judge
from poolproof.faults import FAULTS, syscalls
from poolproof.faults.base import Fault, Scene, inapplicable
from poolproof.history import Event
from poolproof.host import Host
from poolproof.plan import FaultSpec, Plan, Target
from poolproof.watch.procfs import Identity
from tests.chaos.zoo.ablations import ZOO

if TYPE_CHECKING:
    from poolproof.chaos.rig import Rig

pytestmark = pytest.mark.chaos

BOUND_S: Final = 110.0
RUN_S: Final = 400.0  # for all of them, however crowded the machine is: each test waits for its own
RUNNING: Final = 4
IS_ROOT: Final = os.geteuid() == 0

MULTIPROCESSING: Final = "multiprocessing.Pool"
EXECUTOR: Final = "concurrent.futures.ProcessPoolExecutor"
THREADS: Final = "concurrent.futures.ThreadPoolExecutor"
LOOP: Final = f"{ZOO}/asyncio_pool.py:make_pool"

ON_LOOP: Final = frozenset({"cancel-at-handover", "loop-stall"})
ROOTLESS: Final = frozenset({"spawn-failure"} if IS_ROOT else ())
BY_STRACE: Final = frozenset(kind for kind, one in FAULTS.items() if "strace" in one.needs)
ABSENT: Final = ROOTLESS | (frozenset() if syscalls.available() else BY_STRACE)
IN_THREADS: Final = frozenset(
    {
        *("sysexit-in-job", "interrupt-in-job", "error-in-job", "big-result", "callback-raises"),
        *("shutdown-busy", "cancel-storm", "fd-exhaustion-owner", "memory-limit-owner"),
        "gil-held-in-job",
    }
)
APPLIES: Final = {
    MULTIPROCESSING: frozenset(FAULTS) - ON_LOOP - ABSENT - {"cancel-storm"},
    EXECUTOR: frozenset(FAULTS) - ON_LOOP - ABSENT,
    THREADS: IN_THREADS,
    LOOP: (IN_THREADS | ON_LOOP) - {"sysexit-in-job", "interrupt-in-job"},
}


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One fault on one target."""

    target: str
    kind: str
    victim: str

    def __str__(self) -> str:
        pool = "asyncio" if self.target == LOOP else self.target.rpartition(".")[2]
        return "-".join(filter(None, (pool, self.kind, self.victim)))


def victims(kind: str) -> tuple[str, ...]:
    """Each turn of the loop, and else the first variant."""
    variants = FAULTS[kind].variants
    return variants if kind in ON_LOOP else (variants[0].replace("each", "0"),)


NEVER_REPLACED: Final = (EXECUTOR, "kill-starting")
"""A broken executor starts no worker again, so none can be killed while it starts."""
CASES: Final = [
    Case(target, kind, victim)
    for target, kinds in APPLIES.items()
    for kind in FAULTS
    if kind in kinds
    for victim in victims(kind)
    if (target, kind) != NEVER_REPLACED and (target == MULTIPROCESSING or not FAULTS[kind].rare)
]
# Each kind once: what is not done cannot depend on the pool.
NULL_CASES: Final = [*{case.kind: case for case in CASES}.values()]
EACH: Final = pytest.mark.parametrize("case", CASES, ids=str)


class Arena:
    """One host for each target; plays trials on a loop in a thread of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.facts: dict[str, Future[frozenset[str]]] = {name: Future() for name in APPLIES}
        self.trials: dict[tuple[Case, bool], Future[Trial]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._hosts: list[Future[None]] = []

    def begin(self, wanted: list[tuple[Case, bool]], targets: set[str]) -> None:
        """Play these, each on a host of its target; have one of these targets in any case."""
        self.trials = {one: Future() for one in wanted}
        places = Slots(running=RUNNING, parked=len(wanted) + 1, end=time.monotonic() + RUN_S)
        for number, name in enumerate(APPLIES):
            mine = [one for one in wanted if one[0].target == name]
            if not mine and name not in targets:
                continue
            hosting = self._answer(self._host(number, name, mine, places), name, mine)
            self._hosts.append(asyncio.run_coroutine_threadsafe(hosting, self._loop))

    async def _answer(
        self, hosting: Coroutine[Any, Any, None], name: str, mine: list[tuple[Case, bool]]
    ) -> None:
        """Host a target; if that fails, so does every test of it."""
        try:
            await hosting
        except BaseException as error:
            promised: list[Future[Any]] = [self.facts[name], *(self.trials[one] for one in mine)]
            for promise in promised:
                if not promise.done():
                    promise.set_exception(error)
            raise

    async def _host(
        self, number: int, name: str, mine: list[tuple[Case, bool]], places: Any
    ) -> None:
        directory = self.directory / str(number)
        directory.mkdir()
        target = Target(name=name, cwd=str(ZOO), python=sys.executable, deadline=10.0)
        async with Host(target, run=f"test-{os.getpid()}-{number}", directory=directory) as host:
            trials = Trials(host, directory / "trials", places)
            plan = Plan(target=target, warmup=2, fresh=2)
            profile = await trials.profiled(plan)
            self.facts[name].set_result(profile.facts)
            async with asyncio.TaskGroup() as tasks:
                for one in mine:
                    tasks.create_task(self._play(trials, plan, one, profile.reference))

    async def _play(
        self, trials: Trials, plan: Plan, one: tuple[Case, bool], reference: Trial
    ) -> None:
        case, null = one
        spec = FaultSpec(kind=case.kind, victim=case.victim)
        plan = Plan(target=plan.target, faults=(spec,), warmup=2, fresh=2, null=null)
        if null:
            plan = msgspec.structs.replace(plan, warmup=1, bystanders=1, fresh=1)
        try:
            self.trials[one].set_result(await trials.play(plan, reference=reference))
        except Exception as error:  # noqa: BLE001 - the test that reads it raises it
            self.trials[one].set_exception(error)

    def close(self) -> None:
        for hosting in self._hosts:
            hosting.cancel()
        asyncio.run_coroutine_threadsafe(self._rest(), self._loop).result(BOUND_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _rest(self) -> None:
        """Wait for what still ends its processes."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*left, return_exceptions=True)


def look(who: Sequence[Identity]) -> list[dict[str, Any]]:
    """What psutil, which knows nothing of poolproof, says of these processes."""
    return [_look(one.pid) for one in who]


def _look(pid: int) -> dict[str, Any]:
    try:
        process = psutil.Process(pid)
        return {
            "status": process.status(),
            "fd": process.rlimit(psutil.RLIMIT_NOFILE),
            "memory": process.rlimit(psutil.RLIMIT_AS),
            "cores": process.cpu_affinity(),
        }
    except psutil.NoSuchProcess:
        return {"status": "gone"}


def watched(fault: Fault) -> Fault:
    """The same fault; whenever it acts, or a witness of it speaks, the second witness is asked and noted."""

    def note(scene: Scene, when: str, who: Sequence[Identity]) -> None:
        cast("Rig", scene).trial.write("note", message=when, data={"seen": look(who)})

    def inject(scene: Scene, spec: FaultSpec, who: Sequence[Identity]) -> Any:
        note(scene, "before", who)
        return fault.inject(scene, spec, who)

    def receipt(scene: Scene, spec: FaultSpec, who: Sequence[Identity]) -> str | None:
        if (text := fault.receipt(scene, spec, who)) is not None:
            note(scene, "receipt", who)
        return text

    def healed(scene: Scene, spec: FaultSpec, who: Sequence[Identity]) -> str | None:
        if (text := fault.healed(scene, spec, who)) is not None:
            note(scene, "healed", who)
        return text

    return dataclasses.replace(fault, inject=inject, receipt=receipt, healed=healed)


@pytest.fixture(scope="session")
def arena(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Arena]:
    patch = pytest.MonkeyPatch()
    for kind, fault in FAULTS.items():
        patch.setitem(FAULTS, kind, watched(fault))
    # What is judged of a pool that hangs is not what is asked here: no need to wait until it is certain.
    patch.setattr(patience, "PATIENCE", 1)
    patch.setattr(patience, "SPIN_CPU_NS", 0)
    # Where the tests are measured, the target is not: its workers would inherit another handler of SIGTERM.
    for name in [name for name in os.environ if name.startswith("COVERAGE_PROCESS")]:
        patch.delenv(name)
    made = Arena(tmp_path_factory.mktemp("faults"))
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    items = [item for item in tests if "arena" in item.fixturenames]
    asked: list[dict[str, Any]] = [item.callspec.params for item in items]
    wanted = dict.fromkeys((one["case"], one["null"]) for one in asked if "case" in one)
    made.begin(list(wanted), {one["target"] for one in asked if "target" in one})
    yield made
    made.close()
    patch.undo()


@pytest.fixture
def trial(arena: Arena, case: Case, *, null: bool) -> Trial:
    return arena.trials[case, null].result(BOUND_S)


def said(trial: Trial, kind: str, /, **fields: Any) -> list[Event]:
    """The events of one kind with these fields, or this data."""
    return [
        event
        for event in trial.of_kind(kind)
        if all(
            getattr(event, key, None) == value or event.data.get(key) == value
            for key, value in fields.items()
        )
    ]


def seen(trial: Trial, when: str) -> list[dict[str, Any]]:
    """What the second witness saw of the victims at the moment of that word."""
    return [one for event in said(trial, "note", message=when) for one in event.data["seen"]]


def faulted(trial: Trial) -> set[int]:
    return {job.number for job in trial.submitted if job.role == "faulted"}


def in_faulted(trial: Trial, kind: str) -> list[Event]:
    return [event for event in trial.of_kind(kind) if event.job in faulted(trial)]


def killed(trial: Trial) -> None:
    told = seen(trial, "receipt")
    assert told
    assert {one["status"] for one in told} <= {"gone", psutil.STATUS_ZOMBIE}
    assert {one["status"] for one in seen(trial, "before")} <= {
        psutil.STATUS_SLEEPING,
        psutil.STATUS_RUNNING,
    }


def exited(trial: Trial) -> None:
    assert in_faulted(trial, "started")
    assert not in_faulted(trial, "finished")
    assert not in_faulted(trial, "raised")
    assert all(_look(event.pid)["status"] == "gone" for event in in_faulted(trial, "started"))


def froze(trial: Trial) -> None:
    assert {one["status"] for one in seen(trial, "receipt")} == {psutil.STATUS_STOPPED}
    assert psutil.STATUS_STOPPED not in {one["status"] for one in seen(trial, "healed")}


def limited(trial: Trial) -> None:
    """The limits bound at the receipt, and are at the end what they were."""
    before, bound, after = (seen(trial, when) for when in ("before", "receipt", "healed"))
    which = "fd" if trial.plan.faults[0].kind.startswith("fd") else "memory"
    unlimited = [one for one in after if one["status"] != "gone"]
    usual = list(
        resource.getrlimit(resource.RLIMIT_NOFILE if which == "fd" else resource.RLIMIT_AS)
    )

    assert before
    assert all(one[which] != usual for one in bound if one["status"] != "gone")
    assert all(one[which] == usual for one in (*before, *unlimited) if which in one)


def _raised(error: str) -> Any:
    def check(trial: Trial) -> None:
        assert error in {event.error for event in in_faulted(trial, "raised")}
        assert not in_faulted(trial, "finished")

    return check


def _in_owner(effect: str) -> Any:
    def check(trial: Trial) -> None:
        assert {event.pid for event in said(trial, "effect", effect=effect)} == {trial.owner}

    return check


def _in_worker(effect: str) -> Any:
    def check(trial: Trial) -> None:
        assert trial.owner not in {event.pid for event in said(trial, "effect", effect=effect)}

    return check


def answered_big(trial: Trial) -> None:
    assert all(event.data["size"] == 64 << 20 for event in in_faulted(trial, "finished"))
    assert all(event.data["match"] for event in said(trial, "ok", op="job"))


def shut_down_while_busy(trial: Trial) -> None:
    (asked,) = said(trial, "invoke", op="stop")
    begun = [event.job for event in trial.of_kind("started") if event.t < asked.t]
    over = [event.job for event in trial.of_kind("finished") if event.t < asked.t]
    assert set(begun) - set(over)


def cancelled(trial: Trial) -> None:
    asked = {event.job for event in said(trial, "invoke", op="cancel")}
    told = {event.job for event in said(trial, "ok", op="cancel", cancelled=True)}
    assert asked == faulted(trial)
    assert told
    errors = {event.error for event in said(trial, "fail", op="job") if event.job in told}
    assert errors == {"CancelledError"}


def stalled(trial: Trial) -> None:
    (effect,) = said(trial, "effect", effect="stalled")
    (asked,) = said(trial, "invoke", op="cancel")
    (told,) = said(trial, "ok", op="cancel")
    assert effect.data["ms"] >= 50
    assert told.t - asked.t >= 50_000_000


def at_turn(trial: Trial) -> None:
    turn = int(trial.plan.faults[0].victim.partition(":")[2])
    (effect,) = said(trial, "effect", effect="cancelled-at-turn")
    (running,) = said(trial, "finished", job=min(_gated(trial)))
    assert effect.data["turns"] == turn
    assert running.t <= effect.t or turn == 0


def _gated(trial: Trial) -> list[int]:
    return [job.number for job in trial.submitted if job.role == "bystander" and job.starts]


def owner_died(trial: Trial) -> None:
    """The root of the trial, which is its parent, may still be about to reap it."""
    deaths = said(trial, "death", child=trial.owner, orphan=False)
    statuses = {one.data["status"] for one in deaths} - {None}
    assert {os.waitstatus_to_exitcode(status) for status in statuses} <= {-signal.SIGKILL}
    killed(trial)


def untraced(trial: Trial) -> None:
    """Whoever was traced is free, or gone; what was spoiled was spoiled by strace, which says so itself."""
    (receipt,) = said(trial, "receipt")
    assert "(INJECTED)" in receipt.data["evidence"] or "(DELAYED)" in receipt.data["evidence"]
    assert psutil.STATUS_TRACING_STOP not in {one["status"] for one in seen(trial, "healed")}


def crowded(trial: Trial) -> None:
    one = {len(told["cores"]) for told in seen(trial, "receipt") if told["status"] != "gone"}
    many = {len(told["cores"]) for told in seen(trial, "healed") if told["status"] != "gone"}
    assert one == {1}
    assert many == {len(os.sched_getaffinity(0))}


def stood_still(trial: Trial) -> None:
    """No thread of the job's process moved for most of the time between its start and its end."""
    (effect,) = said(trial, "effect", effect="gil-held")
    (started,) = [one for one in in_faulted(trial, "started") if one.job == effect.job]
    assert effect.t - started.t >= 500_000_000


SECOND: Final = {
    **dict.fromkeys(("owner-killed", "owner-killed-idle"), owner_died),
    **dict.fromkeys(("freeze-idle", "freeze-busy", "freeze-shutdown"), froze),
    **dict.fromkeys((kind for kind in FAULTS if kind.startswith(("fd-", "memory-"))), limited),
    **dict.fromkeys(
        (kind for kind in FAULTS if kind.startswith(("kill-", "term-", "segv-"))), killed
    ),
    **dict.fromkeys(("spawn-failure", "abort-busy", "oom-kill-busy"), killed),
    **dict.fromkeys(BY_STRACE, untraced),
    "one-core": crowded,
    "file-limit-worker": _raised("OSError"),
    "gil-held-in-job": stood_still,
    "exit-in-job": exited,
    "sysexit-in-job": _raised("SystemExit"),
    "interrupt-in-job": _raised("KeyboardInterrupt"),
    "error-in-job": _raised("ValueError"),
    "argument-unpicklable": _in_owner("pickle"),
    "argument-unloadable": _in_worker("unpickle"),
    "result-unpicklable": _in_worker("pickle"),
    "result-unloadable": _in_owner("unpickle"),
    "exception-unpicklable": _in_worker("pickle"),
    "exception-unloadable": _in_owner("unpickle"),
    "callback-raises": _in_owner("callback"),
    "big-result": answered_big,
    "shutdown-busy": shut_down_while_busy,
    "cancel-storm": cancelled,
    "cancel-at-handover": at_turn,
    "loop-stall": stalled,
}


def test_every_fault_is_played_and_has_a_second_witness() -> None:
    assert {case.kind for case in NULL_CASES} | ABSENT == set(FAULTS) == set(SECOND)


@pytest.mark.parametrize("target", APPLIES)
def test_a_fault_applies_exactly_where_it_can(arena: Arena, target: str) -> None:
    facts = arena.facts[target].result(BOUND_S)

    assert {kind for kind, one in FAULTS.items() if not inapplicable(one, facts)} == APPLIES[target]


@EACH
@pytest.mark.parametrize("null", [False], ids=["real"])
def test_a_fault_has_its_receipt_and_a_second_witness_agrees(case: Case, trial: Trial) -> None:
    receipts = said(trial, "receipt", fault=0)

    assert len(receipts) == 1, trial.events
    assert receipts[0].data["evidence"]
    assert len(said(trial, "inject", kind=case.kind)) == 1
    SECOND[case.kind](trial)


@pytest.mark.parametrize("case", [Case(*NEVER_REPLACED, "")], ids=str)
@pytest.mark.parametrize("null", [False], ids=["real"])
def test_what_is_never_replaced_cannot_be_killed_while_it_starts(case: Case, trial: Trial) -> None:
    assert trial.of_kind("receipt") == ()
    assert "no replacement" in (FAULTS[case.kind].moot(trial.events) or "")


@EACH
@pytest.mark.parametrize("null", [False], ids=["real"])
def test_a_fault_is_healed_and_that_is_verified(case: Case, trial: Trial) -> None:
    if FAULTS[case.kind].moment == "owner":
        assert trial.of_kind("heal") == ()  # the dead need none
        return
    (heal,) = said(trial, "heal", fault=0)
    (healed,) = said(trial, "healed", fault=0)

    assert heal.t <= healed.t
    assert healed.data["evidence"]


@pytest.mark.parametrize("case", NULL_CASES, ids=str)
@pytest.mark.parametrize("null", [True], ids=["null"])
def test_without_its_inject_a_fault_has_no_receipt_and_nothing_is_valid(
    case: Case, trial: Trial
) -> None:
    assert len(said(trial, "inject", kind=case.kind)) == 1
    assert said(trial, "note", message="before") == []
    assert trial.of_kind("receipt") == ()
    assert {finding.verdict for finding in judge(trial)} <= {"unknown", "not applicable"}
