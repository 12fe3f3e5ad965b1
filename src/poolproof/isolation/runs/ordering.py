"""Which tests of a suite run, in which order, and which of them in a process of their own.

An order is a small JSON file, so that every worker of a run reads the same one. Standard library and pytest only.
"""

import json
import os
import random
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest

from poolproof.agent.containment import die_with_parent
from poolproof.isolation.runs.fingerprint import Watch

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How a suite is to be played.

    Attributes:
        tests: only these, in this order; None for all of them, as they are collected.
        seed: shuffle modules, then their classes, then their tests.
        apart: fork a process, in which nothing has run yet, for each "test" or for each "batch" (a class, or the tests
            of a module outside of classes); "" for one process for all.
        watch: note the state of the process before this test is set up...
        state: ...in this file.
    """

    tests: tuple[str, ...] | None = None
    seed: int | None = None
    apart: str = ""
    watch: str = ""
    state: str = ""

    def save(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")


def load(path: str) -> Order:
    """Read an order; raise UsageError if there is none in that file."""
    try:
        found: dict[str, Any] = json.loads(Path(path).read_bytes())
        tests: list[str] | None = found.pop("tests")
        return Order(tests=None if tests is None else tuple(tests), **found)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise pytest.UsageError(f"expected an order in {path}, got {error!r}") from error


def register(config: pytest.Config, path: str) -> None:
    """Play the session of `config` in the order that `path` holds."""
    order = load(path)
    if hasattr(config.option, "randomly_reorganize"):  # pytest-randomly: one order is enough
        config.option.randomly_reorganize = False
    config.pluginmanager.register(_Ordering(order), "poolproof-ordering")
    if order.watch:
        config.pluginmanager.register(Watch(order.watch, order.state), "poolproof-watch")


class _Ordering:
    def __init__(self, order: Order) -> None:
        self._order = order

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        if self._order.tests is not None:
            _select(config, items, self._order.tests)
        if self._order.seed is not None:
            items[:] = shuffled(items, self._order.seed)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        if not self._order.apart or session.testsfailed or session.config.option.collectonly:
            return None
        # Made once, here: else each child would make one of its own, and clear those of the others.
        if (factory := getattr(session.config, "_tmp_path_factory", None)) is not None:
            factory.getbasetemp()
        for group in groups(session.items, self._order.apart):
            session.testsfailed += _run_apart(session, group) != 0
        return True


def _select(config: pytest.Config, items: list[pytest.Item], tests: Sequence[str]) -> None:
    """Keep the tests of these names, in their order."""
    found = {item.nodeid: item for item in items}
    if absent := [test for test in tests if test not in found]:
        raise pytest.UsageError(f"expected {absent[0]} among the {len(items)} tests that are here")
    config.hook.pytest_deselected(items=[found[name] for name in found.keys() - set(tests)])
    items[:] = [found[test] for test in tests]


def place(nodeid: str) -> tuple[str, str]:
    """Return a test's module and its class, by its name; "" where there is no class."""
    module, _, rest = nodeid.partition("[")[0].partition("::")
    return module, rest.rpartition("::")[0]


def shuffled(items: Iterable[pytest.Item], seed: int) -> list[pytest.Item]:
    """Return the items in a random order that keeps modules and classes together, so that fixtures still pay."""
    draw = random.Random(seed)  # noqa: S311 - an order, no secret

    def mixed(things: Iterable[Thing]) -> list[Thing]:
        kept = list(things)
        draw.shuffle(kept)
        return kept

    modules: dict[str, dict[str, list[pytest.Item]]] = {}
    for item in items:
        module, owner = place(item.nodeid)
        modules.setdefault(module, {}).setdefault(owner, []).append(item)
    return [
        item
        for module in mixed(modules)
        for owner in mixed(modules[module])
        for item in mixed(modules[module][owner])
    ]


def groups(items: Sequence[pytest.Item], apart: str) -> Iterator[list[pytest.Item]]:
    """Yield the items that share a process."""
    if apart == "test":
        return ([item] for item in items)
    return (list(group) for _, group in groupby(items, key=lambda item: place(item.nodeid)))


def _run_apart(session: pytest.Session, group: Sequence[pytest.Item]) -> int:
    """Run the items in a child in which nothing has run yet; return its exit code, negative for a signal."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        _be_the_child(session, group, parent)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def _be_the_child(session: pytest.Session, group: Sequence[pytest.Item], parent: int) -> NoReturn:
    code = 1
    try:
        die_with_parent(parent)
        for item, following in zip(group, [*group[1:], None], strict=True):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        code = int(session.testsfailed > 0)
    except BaseException:  # noqa: BLE001 - the end of a process: what it was must be seen
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # whatever it is: the parent's session must not go on here as well
