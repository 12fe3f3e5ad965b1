"""Puts the guard together: options, policy, resources, and the hook objects that pytest gets."""

from pathlib import Path
from typing import Any, Final

import pytest

from poolproof.isolation import blame
from poolproof.isolation.adoption import Adoption
from poolproof.isolation.async_guard import AsyncGuard
from poolproof.isolation.attribution import Ledger
from poolproof.isolation.guard import Guard, value_of
from poolproof.isolation.policy import MODES, Policy, PolicyError, parse_actions, read_pins
from poolproof.isolation.resources import interpreter, process
from poolproof.isolation.resources.asynchronous import Asynchronous
from poolproof.isolation.resources.base import Resource
from poolproof.isolation.resources.children import Children
from poolproof.isolation.resources.descriptors import Descriptors
from poolproof.isolation.resources.files import Files, SharedMemory
from poolproof.isolation.resources.functions import ClassAttributes, Functions
from poolproof.isolation.resources.loggers import Loggers
from poolproof.isolation.resources.threads import Threads
from poolproof.isolation.tally import PROPERTY, Cost, Tally

BY_EVENTS: Final = ("pin", "coroutine", "guard")


def start(config: pytest.Config) -> None:
    """Register the guard's hooks, unless it is off.

    Raises:
        pytest.UsageError: what was configured cannot be meant so.
    """
    try:
        policy, resources, notes = _configured(config)
    except PolicyError as error:
        raise pytest.UsageError(str(error)) from error
    if policy.mode == "off":
        return
    cost = Cost()
    blame.keep(notes)
    config.add_cleanup(lambda: blame.drop(notes))
    guard = Guard(Ledger(resources, notes, value_of), policy, cost)
    config.pluginmanager.register(guard, "poolproof-guard")
    for resource in resources:
        if isinstance(resource, Asynchronous):
            on_loops = AsyncGuard(guard, resource)
            guard.nudges.append(on_loops.nudge)
            config.pluginmanager.register(on_loops, "poolproof-async-guard")
    config.pluginmanager.register(Adoption(notes), "poolproof-adoption")
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(_Sender(cost), "poolproof-sender")
    else:
        config.pluginmanager.register(Tally(policy.mode, cost), "poolproof-tally")


class _Sender:
    """Hands a worker's costs to its controller."""

    def __init__(self, cost: Cost) -> None:
        self._cost = cost

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output: dict[str, Any] = session.config.workeroutput  # type: ignore[attr-defined]
        output[PROPERTY] = dict(self._cost.steps)


def _configured(config: pytest.Config) -> tuple[Policy, list[Resource], blame.Notes]:
    mode = config.getoption("poolproof_mode") or config.getini("poolproof")
    if mode not in MODES:
        raise PolicyError(f"poolproof: expected {', '.join(MODES)}, got {mode!r}")
    notes = blame.Notes()
    resources = _resources(config, notes)
    known = [*BY_EVENTS, *(slug for resource in resources for slug in resource.slugs)]
    policy = Policy(
        mode=mode,
        actions=parse_actions(config.getini("poolproof_policy"), known),
        pins=read_pins(config.rootpath / Path(config.getini("poolproof_pins"))),
    )
    wanted = [r for r in resources if any(policy.action(slug) != "ignore" for slug in r.slugs)]
    return policy, wanted, notes


def _resources(config: pytest.Config, notes: blame.Notes) -> list[Resource]:
    def basetemp() -> str | None:
        factory = getattr(config, "_tmp_path_factory", None)  # asked late: it is set after us
        made = getattr(factory, "_basetemp", None)
        return None if made is None else str(made)

    on_loops = Asynchronous()
    found: list[Resource] = [
        process.settings(),
        process.Limits(notes),
        process.SignalHandlers(),
        process.Environment(notes),
        interpreter.settings(),
        interpreter.ExitCallbacks(),
        interpreter.ContextVariables(),
        interpreter.Modules(),
        Descriptors(),
        Threads(on_loops.loops),
        on_loops,
        Children(),
        Files(notes, str(config.rootpath), basetemp),
        SharedMemory(notes),
        Loggers(),
        Functions(),
        ClassAttributes(),
    ]
    return found
