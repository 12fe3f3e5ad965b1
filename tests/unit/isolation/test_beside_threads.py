"""What the guard reads may grow while it reads: other threads go on opening, starting and setting things."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Callable
from itertools import count
from typing import Any
from weakref import WeakSet

import pytest

from poolproof.isolation.blame import Notes, Site
from poolproof.isolation.resources.asynchronous import raised, tasks
from poolproof.isolation.resources.base import ABSENT, Change, living
from poolproof.isolation.resources.children import Children
from poolproof.isolation.resources.descriptors import Descriptors
from poolproof.isolation.resources.process import Environment

pytestmark = pytest.mark.unit


class Busy:
    """A value at whose look, as by a thread that gets its turn just then, something is added."""

    living = frozenset[int]()

    def __init__(self, grow: Callable[[], object]) -> None:
        self._grow = grow

    @property
    def owner(self) -> int:
        self._grow()
        return 7

    def fileno(self) -> int:
        self._grow()
        return -1

    def __eq__(self, other: object) -> bool:
        self._grow()
        return False

    __hash__ = object.__hash__


@pytest.fixture
def notes() -> Notes:
    return Notes()


def site(owner: int) -> Site:
    return Site("test_it.py", 1, "test_it", owner, foreign=False)


def test_files_that_are_opened_while_a_turn_ends(notes: Notes) -> None:
    known: Any = notes.opened
    late = count()
    known["a"] = known["b"] = Busy(lambda: known.update({f"late {next(late)}": site(0)}))
    notes.forget()

    assert sorted(known) == ["late 0", "late 1"]


def test_what_living_fixtures_opened_is_kept_when_a_turn_ends(notes: Notes) -> None:
    notes.living.add(3)
    notes.opened.update(mine=site(3), other=site(4))
    notes.forget()

    assert list(notes.opened) == ["mine"]


def test_sockets_that_are_made_while_one_is_looked_for(notes: Notes) -> None:
    more: list[Busy] = []

    def make() -> None:
        more.append(Busy(int))
        notes.sockets[more[-1]] = site(0)

    busy = [Busy(make), Busy(make)]
    for one in busy:
        notes.sockets[one] = site(0)
    with socket.socket() as left:
        status = os.fstat(left.fileno())
        change = Change(left.fileno(), ABSENT, (status.st_dev, status.st_ino))

        assert Descriptors().judge(change, notes)
    assert len(more) == 2


def test_variables_that_are_set_while_they_are_compared(notes: Notes) -> None:
    known: Any = notes.variables
    busy = Busy(lambda: known.setdefault(f"LATE_{len(known)}", ("1", site(0))))
    known["PLANTED_A"] = known["PLANTED_B"] = (busy, site(0))
    state = Environment(notes).look()

    assert ("putenv", "PLANTED_B") in state


def test_processes_that_are_started_while_one_is_judged(notes: Notes) -> None:
    known: Any = notes.children
    known.append((Busy(lambda: known.append(((), site(0)))), site(0)))
    known.append((Busy(lambda: known.append(((), site(0)))), site(0)))
    child = os.posix_spawn("/bin/sleep", ["sleep", "600"], {})

    assert Children().judge(Change(child, ABSENT, new=True), notes)
    Children().undo(Change(child, ABSENT, new=True))


class Thing:
    pass


def test_a_weak_set_that_grows_while_it_is_read() -> None:
    things = {Thing() for _ in range(3)}
    weak = WeakSet(things)
    more: list[Thing] = []
    for thing in living(weak):
        assert thing in things
        more.append(Thing())
        weak.add(more[-1])

    assert len(weak) == 6
    assert living(None) == []


def test_tasks_of_other_loops_that_are_begun_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    class Growing(WeakSet[Any]):
        """Refuses to be gone through, as while another thread adds to it."""

        def __iter__(self) -> Any:
            raise RuntimeError("Set changed size during iteration")

    names = vars(sys.modules["asyncio.tasks"])
    name = "_scheduled_tasks" if "_scheduled_tasks" in names else "_all_tasks"
    thing = Thing()
    monkeypatch.setattr(asyncio.tasks, name, Growing([thing]))

    assert tasks() == [thing]


def test_an_error_in_nobodys_own_code_is_placed_where_it_was_raised() -> None:
    with pytest.raises(TypeError) as caught:
        json.loads(3)  # type: ignore[arg-type]
    traceback = caught.tb.tb_next

    assert "json" in raised(traceback)
    assert "test_beside_threads.py" in raised(caught.tb)
