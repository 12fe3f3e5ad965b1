"""A Hypothesis state machine that drives a supervisor and its model, in virtual time."""

# ruff: noqa: FBT001 -- what Hypothesis or a table of parameters draws comes by name

import asyncio
import functools
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from poolproof.simulation import SimulationLoop
from poolproof.supervision import restart
from poolproof.supervision.conformance import Stage
from tests.chaos.supervision.model import Model, ModelChild
from tests.chaos.supervision.zoo import Decide

IDS = ("a", "b", "c", "d", "e")
REASONS = ("normal", "shutdown", "shutdown(t)", "boom", "kill")
PERIOD_SECONDS = 2

restarts = st.sampled_from(["permanent", "permanent", "transient", "temporary"])
first_restarts = st.sampled_from(["permanent", "transient", "temporary"])
names = st.sampled_from(IDS)
numbers = st.integers(0, 4)
reasons = st.sampled_from(REASONS)
outcomes = st.lists(st.sampled_from(["ok", "error", "ignore"]), max_size=3)


class SupervisorMachine(RuleBasedStateMachine):
    """Everything that can happen to a supervisor, and to its model."""

    decide: ClassVar[Decide] = staticmethod(restart.decide)

    def __init__(self) -> None:
        super().__init__()
        self.loop = SimulationLoop()
        self.stage = Stage("double", "fine", type(self).decide)
        self.model = Model("one_for_one", 1, PERIOD_SECONDS, "never")
        self.armed: dict[str, list[str]] = {}

    @initialize(
        strategy=st.sampled_from(["one_for_one", "one_for_all", "rest_for_one"]),
        max_restarts=st.integers(0, 4),
        auto_shutdown=st.sampled_from(["never", "any_significant", "all_significant"]),
        kinds=st.lists(st.tuples(first_restarts, st.booleans()), min_size=1, max_size=5),
    )
    def boots(self, strategy: str, max_restarts: int, auto_shutdown: str, kinds: Any) -> None:
        self.model = Model(strategy, max_restarts, PERIOD_SECONDS, auto_shutdown)
        for name, kind in zip(IDS, kinds, strict=False):
            self.model.children.append(ModelChild(name, *self.allowed(*kind)))
        tree = {
            "strategy": strategy,
            "max_restarts": max_restarts,
            "max_seconds": PERIOD_SECONDS,
            "auto_shutdown": auto_shutdown,
            "children": [self.as_json(child) for child in self.model.children],
        }
        self.model.boot()
        self.loop.run_until_complete(self.stage.boot(tree))
        self.compare()

    def allowed(self, restart: str, significant: bool) -> tuple[str, bool]:
        return (
            restart,
            significant and restart != "permanent" and self.model.auto_shutdown != "never",
        )

    def as_json(self, child: ModelChild) -> Any:
        return {
            "id": child.id,
            "restart": child.restart,
            "significant": child.significant,
            "starts": functools.partial(_outcome, self.armed, child.id),
        }

    @rule(name=names, what=outcomes)
    def is_armed(self, name: str, what: list[str]) -> None:
        self.arms(name, what)

    def arms(self, name: str, what: list[str]) -> None:
        """Have the next starts of a child, here and in the model, end like this."""
        self.model.armed[name] = list(what)
        self.armed[name] = list(what)

    @precondition(lambda self: self.model.alive)
    @rule(which=numbers, reason=reasons)
    def dies(self, which: int, reason: str) -> None:
        name = self.running(which)
        self.model.die_together([(name, reason)])
        self.step(["exit", name, reason])

    @precondition(lambda self: self.model.alive)
    @rule(which=numbers, failures=st.integers(0, 3))
    def crashes_and_fails_to_start(self, which: int, failures: int) -> None:
        self.arms(self.running(which), ["error"] * failures)
        self.dies(which, "boom")

    def running(self, which: int) -> str:
        """Return the id of some running child, or one that has no process."""
        ids = [child.id for child in self.model.children if child.state == "running"]
        return ids[which % len(ids)] if ids else IDS[which % len(IDS)]

    @precondition(lambda self: self.model.alive)
    @rule(chosen=st.lists(st.tuples(numbers, reasons), min_size=2, max_size=3))
    def die_together(self, chosen: list[tuple[int, str]]) -> None:
        deaths = [(self.running(which), reason) for which, reason in chosen]
        self.model.die_together(deaths)
        self.step(["queued", "root", [["exit", *death] for death in deaths]])

    @precondition(lambda self: self.model.alive)
    @rule(name=names, kind=restarts, significant=st.booleans())
    def is_asked_to_start(self, name: str, kind: str, significant: bool) -> None:
        child = ModelChild(name, *self.allowed(kind, significant))
        new = self.as_json(child)
        self.answers(["start", "root", new], self.model.ask_start(child), name)

    @precondition(lambda self: self.model.alive)
    @rule(name=names)
    def is_asked_to_restart(self, name: str) -> None:
        self.answers(["restart", "root", name], self.model.ask_restart(name), name)

    @precondition(lambda self: self.model.alive)
    @rule(name=names)
    def is_asked_to_terminate(self, name: str) -> None:
        self.answers(["terminate", "root", name], self.model.ask_terminate(name), name)

    @precondition(lambda self: self.model.alive)
    @rule(name=names)
    def is_asked_to_delete(self, name: str) -> None:
        self.answers(["delete", "root", name], self.model.ask_delete(name), name)

    @rule()
    def time_passes(self) -> None:
        self.model.now += PERIOD_SECONDS + 1
        self.step(["wait", (PERIOD_SECONDS + 1) * 1000])

    def answers(self, step: Any, answer: str, name: str) -> None:
        self.model.events.append(["reply", step[0], name, answer])
        self.step(step)

    def step(self, step: Any) -> None:
        self.loop.run_until_complete(self.stage.step(step))
        self.compare()

    def compare(self) -> None:
        assert self.stage.events == self.model.events
        assert self.stage.root.alive == self.model.alive
        if self.model.alive:
            which, count = self.loop.run_until_complete(self.shown())
            assert which == self.model.which()
            assert count == self.model.count()

    async def shown(self) -> tuple[list[list[str]], list[int]]:
        root = self.stage.root
        which = [[str(info.id), info.status] for info in await root.which_children()]
        return which, list(await root.count_children())

    def teardown(self) -> None:
        try:
            if self.model.alive and self.stage.events == self.model.events:
                self.model.end("shutdown")
                self.step(["parent_exit", "shutdown"])
        finally:
            close(self.loop)


def machine_for(decide: Decide) -> type[SupervisorMachine]:
    """Return the machine for a supervisor that decides by `decide`."""
    return type(
        f"Machine_{decide.__name__}", (SupervisorMachine,), {"decide": staticmethod(decide)}
    )


def close(loop: asyncio.AbstractEventLoop) -> None:
    """Close a loop on which a failed step may have left something."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def _outcome(armed: dict[str, list[str]], name: str) -> str:
    waiting = armed.get(name, [])
    return waiting.pop(0) if waiting else "ok"
