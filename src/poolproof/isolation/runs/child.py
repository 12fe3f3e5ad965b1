"""Runs pytest once, in a session of its own, and returns what it recorded; nothing of it outlives the call."""

import asyncio
import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from poolproof.errors import TargetError, UsageError
from poolproof.isolation import leases
from poolproof.isolation.containment import send_signal
from poolproof.isolation.logs import keep_small
from poolproof.isolation.runs import records
from poolproof.isolation.runs.ordering import Order
from poolproof.watch import procfs

LOOK_SECONDS: Final = 0.1
GRACE_SECONDS: Final = 5.0
TAIL_LINES: Final = 3
TEST_LINE: Final = b'{"kind":"test"'
NO_TESTS: Final = 5
NOT_BEGUN: Final = {
    2: "to collect these tests",
    3: "pytest to run",
    4: "arguments that pytest understands",
    NO_TESTS: "tests",
}


_XDIST: Final = "PYTEST_XDIST_"


class Suite:
    """Somebody's tests, as pytest's arguments name them, to be run in many ways.

    Args:
        arguments: what pytest is given.
        lease: names the run; what is started carries its token.
        out: gets what each run recorded and printed.
        stall_seconds: a run in which no test begins or ends for so long is ended.
    """

    def __init__(
        self, arguments: Sequence[str], lease: leases.Lease, *, out: Path, stall_seconds: float
    ) -> None:
        self._arguments = list(arguments)
        self._lease = lease
        self.out = out
        self._stall_seconds = stall_seconds
        self._runs = 0

    async def run(
        self,
        order: Order,
        *,
        workers: int = 0,
        guard: str = "report",
        heard: Callable[[int], None] = lambda _ended: None,
    ) -> records.Record:
        """Run the suite once.

        Args:
            order: which tests, in which order.
            workers: how many xdist workers; 0 for one process.
            guard: `report`, so that a leak is known and changes no outcome; "" leaves it to the suite.
            heard: is told how many tests have ended so far.

        Raises:
            UsageError: pytest does not take these arguments, or finds no test.
            TargetError: the suite cannot be collected.
        """
        place = self._prepare(order)
        command = [sys.executable, "-m", "pytest", "-p", "poolproof", *self._arguments]
        command += self._forced(place, workers, guard)
        began = time.monotonic()
        code = await self._play(command, place, heard)
        return _read(place, code, time.monotonic() - began)

    def _prepare(self, order: Order) -> Path:
        """Make the directory of the next run, with its order in it."""
        self._runs += 1
        place = self.out / f"{self._runs:03}"
        place.mkdir(parents=True)
        order.save(place / "order.json")
        return place

    def _forced(self, place: Path, workers: int, guard: str) -> list[str]:
        """Return the options that make a run comparable with another one; they come last, so they win."""
        forced = [
            f"--poolproof-record={place / 'record.jsonl'}",
            f"--poolproof-order={place / 'order.json'}",
            "--maxfail=0",
            *("-o", f"cache_dir={self._lease.directory}/cache-{place.name}"),
        ]
        if guard:
            forced.append(f"--poolproof={guard}")
        if has_xdist():
            forced += ["-p", "xdist"]  # even if the suite has it off: its options are given next
            forced += ["-n", str(workers)] if workers else ["-n0", "--dist=no"]
        return forced

    async def _play(
        self, command: Sequence[str], place: Path, heard: Callable[[int], None]
    ) -> int | None:
        """Run the command to its end; return its exit code, None if it stalled and had to be ended."""
        with (place / "log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=self._environment(),
            )
        small = asyncio.create_task(keep_small(lambda: [place / "log"]))
        identity = procfs.identity(process.pid)
        try:
            return await self._watch(process, place / "record.jsonl", heard)
        except asyncio.CancelledError:
            await _let_it_clear_up(process, identity)
            raise
        finally:
            small.cancel()
            leases.end(self._lease)
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _environment(self) -> dict[str, str]:
        """Return the child's environment, with the token by which it is ended: it is no worker of a run around us."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(_XDIST)}
        return {**own, leases.RUN_VARIABLE: self._lease.run}

    async def _watch(
        self, process: asyncio.subprocess.Process, record: Path, heard: Callable[[int], None]
    ) -> int | None:
        ending = asyncio.create_task(process.wait())
        size, moved = 0, time.monotonic()
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=LOOK_SECONDS)
                recorded = _recorded(record)
                if len(recorded) != size:
                    size, moved = len(recorded), time.monotonic()
                    heard(recorded.count(TEST_LINE))
                elif time.monotonic() - moved > self._stall_seconds:
                    return None
            return ending.result()
        finally:
            ending.cancel()


async def _let_it_clear_up(
    process: asyncio.subprocess.Process, identity: procfs.Identity | None
) -> None:
    """Interrupt pytest, so that fixtures are torn down, and wait for its end, but not for ever."""
    if identity is not None and send_signal(identity, signal.SIGINT):
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), GRACE_SECONDS)


def has_xdist() -> bool:
    """Tell whether tests can be run in parallel here."""
    return importlib.util.find_spec("xdist") is not None


def _read(place: Path, code: int | None, seconds: float) -> records.Record:
    """Return what was recorded, with the exit code that the process really had."""
    if code in NOT_BEGUN and TEST_LINE not in _recorded(place / "record.jsonl"):
        said = _said(place / "log")
        error = UsageError if code in (4, NO_TESTS) else TargetError
        raise error(f"expected {NOT_BEGUN[code]}, got pytest's exit code {code}: {said}")
    found = records.read(place / "record.jsonl")
    return records.ended(found, exit=code, seconds=seconds)


def _recorded(record: Path) -> bytes:
    """Return what has been recorded so far; nothing if nothing was."""
    return record.read_bytes() if record.exists() else b""


def _said(log: Path) -> str:
    """Return what pytest said was wrong, else what it said last, in one line."""
    lines = [
        line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    wrong = [line for line in lines if ": error: " in line or line.startswith(("ERROR", "E  "))]
    telling = [line for line in wrong if not line.startswith("ERROR: usage")]
    return " / ".join((telling or list(filter(None, lines)))[-TAIL_LINES:]) or "nothing"
