"""Processes to hit, and a scene that is made by hand."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poolproof.history import Event
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

Born = Callable[..., Identity]


class Stage:
    """A `Scene`: what faults see of a trial, as the test sets it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.owner = Identity(0, 0)
        self.faulted: tuple[int, ...] = ()
        self.workers_now: list[Identity] = []
        self.novices: list[Identity] = []
        self.ran: dict[int, list[Identity]] = {}
        self.commands: list[tuple[str, dict[str, object]]] = []

    def workers(self) -> list[Identity]:
        return self.workers_now

    def has_run(self, worker: Identity) -> bool:
        return worker not in self.novices

    def runner(self, job: int) -> Identity | None:
        return next(reversed(self.runners(job)), None)

    def runners(self, job: int) -> list[Identity]:
        return self.ran.get(job, [])

    def command(self, do: str, **arguments: object) -> None:
        self.commands.append((do, arguments))

    def note(self, **data: object) -> None:
        self.saw("note", data=data)

    def saw(self, kind: str, **fields: Any) -> None:
        self.events.append(Event(t=len(self.events), kind=kind, **fields))


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def born() -> Iterator[Born]:
    """Start a process, by default one that waits for ever; all are ended, and reaped, afterwards."""
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str = "print('ready', flush=True); input()") -> Identity:
        process = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        identity = procfs.identity(process.pid)
        assert identity
        return identity

    yield start
    for process in started:
        process.kill()
        process.communicate()
