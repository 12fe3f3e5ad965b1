"""Plays a supervision scenario on our supervisor, in the words of the recordings of OTP.

A scenario is JSON: a tree, and a script of deaths, requests and pauses. `scripts/record_otp.erl`
    plays the same on Erlang's own supervisor. Time is virtual here, so a play takes milliseconds.
"""

import asyncio
import contextlib
import functools
import re
from collections.abc import Awaitable, Hashable
from typing import Any, Final, Literal, cast

from poolproof import simulation
from poolproof.supervision import restart
from poolproof.supervision.answers import GoneError, RefusedError, StartError
from poolproof.supervision.control import resume, state, suspend
from poolproof.supervision.coroutine import Announcement, coroutine
from poolproof.supervision.events import TreeEvent
from poolproof.supervision.overriding import override
from poolproof.supervision.process import ForeignProcess, Parent, Process
from poolproof.supervision.reasons import (
    KILL,
    KILLED,
    NORMAL,
    SHUTDOWN,
    ExitReason,
    ExitWith,
    error,
    shutdown,
)
from poolproof.supervision.registry import Scope
from poolproof.supervision.shell import Decide
from poolproof.supervision.spec import ChildSpec, Clock, SpecError
from poolproof.supervision.supervisor import Supervisor, SupervisorSpec

Json = Any
Kind = Literal["coroutine", "double"]

_REPORTED: Final = {
    "child_terminated": "child_terminated",
    "start_error": "start_error",
    "shutdown_error": "shutdown_error",
    "escalation": "shutdown",
}
_QUIET_ROUNDS: Final = 8
_LONG_SECONDS: Final = 100_000.0


def play(
    scenario: Json,
    *,
    kind: Kind = "coroutine",
    clock: Clock = "fine",
    decide: Decide = restart.decide,
) -> list[Json]:
    """Return the events of one scenario, played in virtual time.

    Args:
        scenario: `tree` and `script`, as in the recordings.
        kind: what the children are: coroutines that announce themselves, or doubles that start and
            end in one step.
        clock: the supervisor's clock; `whole_seconds` is OTP's.
        decide: the decision; another one is for tests of the tests.
    """
    return simulation.run(Stage(kind, clock, decide).play(scenario), start_ns=500_000_000)


def reason_from(text: str) -> ExitReason:
    """Return the exit reason that a scenario writes as `text`."""
    plain = {"normal": NORMAL, "shutdown": SHUTDOWN, "kill": KILL, "killed": KILLED}
    with_term = re.fullmatch(r"shutdown\((.*)\)", text)
    return shutdown(with_term[1]) if with_term else plain.get(text) or error(text)


def reason_text(reason: ExitReason) -> str:
    """Return an exit reason as the recordings write it."""
    if reason.kind == "shutdown" and not isinstance(reason.detail, str | None):
        child, why = cast("tuple[str, str, ExitReason]", reason.detail)[1:]
        return f"shutdown(failed_to_start_child({child}, {reason_text(why)}))"
    if reason.kind == "error":
        return "boom" if isinstance(reason.detail, _CrashedInStartError) else str(reason.detail)
    return str(reason)


class _CrashedInStartError(Exception):
    pass


class _Double(ForeignProcess):
    """A child without a task: it reacts to signals on the spot, as its behaviour says."""

    __slots__ = ("_behaviour", "_stage", "_who")

    def __init__(self, stage: "Stage", who: tuple[str, int], behaviour: Json) -> None:
        super().__init__()
        self._stage, self._who, self._behaviour = stage, who, behaviour

    @override
    def signal(self, reason: ExitReason, _sender: Process | None, /) -> None:
        if self._behaviour != "plain":
            self._stage.events.append(["stop", *self._who, reason_text(reason)])
        match self._behaviour:
            case "stubborn":
                pass
            case ["linger", milliseconds]:
                asyncio.get_running_loop().call_later(milliseconds / 1000, self.finish, reason)
            case ["reason", other]:
                self.finish(reason_from(other))
            case _:
                self.finish(reason)


def _outcome(outcomes: Json, number: int) -> str:
    """Return what start `number` does: by the list, then `ok`; or whatever a function says."""
    if callable(outcomes):
        return str(outcomes())
    return outcomes[number - 1] if number <= len(outcomes) else "ok"


class _ScriptedStarter:
    """Starts one child of a scenario: each start does what the scenario's list says, then `ok`."""

    def __init__(self, stage: "Stage", child: Json) -> None:
        self._stage, self._child = stage, child

    def start(
        self, parent: Parent, child_id: Hashable, /
    ) -> Process | Awaitable[Process | None] | None:
        """Do what this start is to do."""
        stage, name = self._stage, str(child_id)
        number = stage.starts[name] = stage.starts.get(name, 0) + 1
        outcome = _outcome(self._child.get("starts", []), number)
        stage.events.append(["start", name, number, outcome])
        if outcome == "ignore":
            return None
        if outcome != "ok":
            raise _CrashedInStartError if outcome == "crash" else ExitWith(error("boom"))
        behaviour = self._child.get("behaviour", "trap")
        if stage.kind == "double":
            stage.processes[name] = _Double(stage, (name, number), behaviour)
            return stage.processes[name]
        return self._slowly(parent, (name, number), behaviour)

    async def _slowly(self, parent: Parent, who: tuple[str, int], behaviour: Json) -> Process:
        told: asyncio.Future[str] = parent.loop.create_future()
        starter = coroutine(
            functools.partial(self._stage.body, told, who, behaviour), announces=True
        )
        started = starter.start(parent, who[0])
        assert not isinstance(started, Process)
        process = await started
        self._stage.processes[who[0]] = process
        self._stage.told[process.serial] = told
        return process


class Stage:
    """One scenario on its way: the tree, and everything that has happened so far.

    Attributes:
        events: what has happened, in the words of the recordings.
        root: the root of the tree, once it has been booted.
    """

    def __init__(self, kind: Kind, clock: Clock, decide: Decide) -> None:
        self.kind: Kind = kind
        self.events: list[Json] = []
        self.starts: dict[str, int] = {}
        self.processes: dict[str, Process] = {}
        self.told: dict[int, asyncio.Future[str]] = {}
        self._above = ForeignProcess()
        self._clock: Clock = clock
        self._decide = decide
        self._supervisors: list[Supervisor] = []

    @property
    def root(self) -> Supervisor:
        """The root of the tree."""
        return self._supervisors[0]

    async def play(self, scenario: Json) -> list[Json]:
        """Boot the tree, go through the script, stop what is left, and return the events."""
        try:
            await self.boot(scenario["tree"])
        except StartError as failed:
            self.events.append(["boot", reason_text(failed.reason)])
            return self.events
        self.events.append(["boot", "ok"])
        for step in scenario["script"]:
            await self.step(step)
        if self.root.alive:
            await self._end(self.root, SHUTDOWN)
        return self.events

    async def boot(self, tree: Json) -> None:
        """Start the tree.

        Raises:
            StartError: a child did not start.
        """
        root = Supervisor(
            self._supervisor_spec(tree),
            path=("root",),
            scope=Scope("root"),
            sink=self._note,
            parent=self._above,
            decide=self._decide,
        )
        self.enter(root)
        booting = root.boot()
        if booting is not None:
            await booting
        await self._settle()

    async def _end(self, root: Supervisor, reason: ExitReason) -> None:
        gone = asyncio.get_running_loop().create_future()
        root.watch(lambda _, __: gone.set_result(None))
        root.exit(reason, self._above)
        await gone
        await self._settle()

    def enter(self, supervisor: Supervisor) -> None:
        """Make a supervisor addressable by the last part of its path."""
        self.processes[supervisor.path[-1]] = supervisor
        self._supervisors.append(supervisor)

    def _note(self, event: TreeEvent) -> None:
        above = event.supervisor[-1]
        child = event.offender.id if event.offender else None
        if event.name == "progress":
            self.events.append(["progress", above, child])
        elif event.name == "down" and event.reason:
            self.events.append(["down", above, reason_text(event.reason)])
        elif event.name in _REPORTED and event.reason:
            self.events.append(
                ["report", above, _REPORTED[event.name], reason_text(event.reason), child]
            )

    async def body(
        self, told: "asyncio.Future[str]", who: tuple[str, int], behaviour: Json, up: Announcement
    ) -> None:
        """Live as a child of a scenario: die as told, react to `shutdown` as the behaviour says."""
        up()
        while True:
            try:
                raise ExitWith(reason_from(await asyncio.shield(told)))
            except asyncio.CancelledError:
                await self._told_to_stop(who, behaviour)

    async def _told_to_stop(self, who: tuple[str, int], behaviour: Json) -> None:
        if behaviour != "plain":
            self.events.append(["stop", *who, "shutdown"])
        match behaviour:
            case "stubborn":
                return
            case ["linger", milliseconds]:
                await asyncio.sleep(milliseconds / 1000)
            case ["reason", other]:
                raise ExitWith(reason_from(other))
            case _:
                pass
        raise asyncio.CancelledError

    # The tree.

    def _supervisor_spec(self, tree: Json) -> SupervisorSpec:
        fields = {name: tree[name] for name in tree if name != "children"}
        children = [self._child_spec(child) for child in tree["children"]]
        return SupervisorSpec(clock=self._clock, children=children, **fields)

    def _child_spec(self, child: Json) -> ChildSpec:
        fields = {name: child[name] for name in ("restart", "significant") if name in child}
        patience = child.get("shutdown")
        start: Any = _ScriptedStarter(self, child)
        if "tree" in child:
            start = _SupervisorStarter(self, self._supervisor_spec(child["tree"]))
        return ChildSpec(
            id=child["id"],
            start=start,
            shutdown=patience / 1000 if isinstance(patience, int) else patience,
            type="supervisor" if "tree" in child else "worker",
            **fields,
        )

    # The script.

    async def step(self, step: Json) -> None:
        """Carry out one step of a script and wait until all is quiet."""
        match step:
            case ["wait", milliseconds]:
                await asyncio.sleep(milliseconds / 1000)
                return
            case ["exit", name, reason]:
                await self._die(name, reason)
                await self._settle()
                return
            case ["parent_exit", reason]:
                await self._end(self.root, reason_from(reason))
                return
            case _:
                pass
        supervisor = self.processes.get(step[1])
        if not isinstance(supervisor, Supervisor) or not supervisor.alive:
            self.events.append(["reply", step[0], step[1], "noproc"])
        elif step[0] == "stray":
            supervisor.send("hello")
            supervisor.exit(error("boom"), ForeignProcess())
            await self._settle()
        elif step[0] == "queued":
            await self._queued(supervisor, step[2])
        else:
            answer = await self._request(supervisor, step)
            await self._settle()
            self.events.append(answer)

    async def _queued(self, supervisor: Supervisor, steps: Json) -> None:
        await suspend(supervisor)
        answers: list[asyncio.Task[Json]] = []
        for step in steps:
            if step[0] == "exit":
                await self._die(step[1], step[2])
                # What other supervisors make of it is over before this one goes on: else the two
                # would race.
                await self._settle()
            else:
                answers.append(asyncio.create_task(self._request(supervisor, step)))
                await _turns(2)
        # Its parent may have ended it meanwhile: a suspended supervisor obeys that.
        with contextlib.suppress(GoneError):
            await resume(supervisor)
        replies = [await answer for answer in answers]
        await self._settle()
        self.events.extend(replies)

    async def _die(self, name: str, reason: str) -> None:
        process = self.processes.get(name)
        if process is None or not process.alive:
            return
        if reason == "kill":
            process.exit(KILL)
        elif isinstance(process, ForeignProcess):
            process.finish(reason_from(reason))
        else:
            self.told[process.serial].set_result(reason)
        while process.alive:
            await _turns(1)

    async def _request(self, supervisor: Supervisor, step: Json) -> Json:
        who = step[2]["id"] if step[0] == "start" else step[-1]
        try:
            answer = await self._answer(supervisor, step)
        except RefusedError as refused:
            answer = refused.answer
        except StartError:
            answer = "start_failed"
        except SpecError:
            answer = "bad_spec"
        except GoneError:
            answer = "gone"
        return ["reply", step[0], who, answer]

    async def _answer(self, supervisor: Supervisor, step: Json) -> Json:
        match step:
            case ["which", _]:
                return [
                    [info.id, info.status] for info in await supervisor.which_children(timeout=None)
                ]
            case ["count", _]:
                return list(await supervisor.count_children(timeout=None))
            case ["terminate", _, name]:
                await supervisor.terminate_child(name, timeout=None)
            case ["delete", _, name]:
                await supervisor.delete_child(name, timeout=None)
            case ["restart", _, name]:
                return "ok" if await supervisor.restart_child(name, timeout=None) else "ignored"
            case _:
                spec = self._child_spec(step[2])
                return "ok" if await supervisor.start_child(spec, timeout=None) else "ignored"
        return "ok"

    async def _settle(self) -> None:
        """Wait until several rounds through every supervisor have brought nothing new."""
        seen, quiet = -1, 0
        while quiet < _QUIET_ROUNDS:
            await _turns(3)
            for supervisor in self._supervisors:
                if supervisor.alive:
                    await _answered(supervisor)
            quiet = quiet + 1 if len(self.events) == seen else 0
            seen = len(self.events)


class _SupervisorStarter:
    """Starts a supervisor of a scenario and enters it among those that can be addressed."""

    child_type = "supervisor"

    def __init__(self, stage: Stage, spec: SupervisorSpec) -> None:
        self._stage, self._spec = stage, spec

    def start(self, parent: Parent, child_id: Hashable, /) -> Supervisor | Awaitable[Supervisor]:
        """Start it as its specification says."""
        started = self._spec.start(parent, child_id)
        if isinstance(started, Supervisor):
            self._stage.enter(started)
            return started
        return self._slowly(started)

    async def _slowly(self, starting: Awaitable[Supervisor]) -> Supervisor:
        supervisor = await starting
        self._stage.enter(supervisor)
        return supervisor


async def _answered(supervisor: Supervisor) -> None:
    try:
        await state(supervisor, timeout=_LONG_SECONDS)
    except GoneError:
        return


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)
