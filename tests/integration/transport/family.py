"""Workers with a family, and a controller that can be killed: run by test_contained.py."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Sequence

from poolproof.transport.base import End, Reply, WorkerEvents, WorkerLink, WorkerSpec
from poolproof.transport.process import ProcessTransport


class Parent:
    """Starts a child that leaves its session, and one that does not."""

    def handle(self, _request: object) -> list[int]:
        """Return their pids."""
        sleep = ["sleep", "1000"]
        there = subprocess.Popen(sleep)
        away = subprocess.Popen(sleep, start_new_session=True)
        orphan = subprocess.run(
            ["sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 & echo $!"],
            capture_output=True,
            check=True,
        )
        return [there.pid, away.pid, int(orphan.stdout)]


class Hanging:
    """Closes its connection and lives on."""

    def handle(self, _request: object) -> None:
        """Do so."""
        os.closerange(3, 64)
        signal.pause()


class Printing(WorkerEvents):
    """Prints the pids that a worker answers with."""

    def replied(self, link: WorkerLink, replies: Sequence[Reply]) -> None:
        """Print them."""
        print(link.pid, *replies[0][2], flush=True)  # noqa: T201 - read by the test

    def ended(self, link: WorkerLink, end: End) -> None:
        """Pass over it."""

    def noted(self, link: WorkerLink, what: str, detail: str) -> None:
        """Pass over it."""


async def main() -> None:
    """Start two families, print all pids, and wait to be killed."""
    transport = ProcessTransport(spares=1)
    await transport.open()
    for number in range(2):
        worker = await transport.spawn(WorkerSpec(target=Parent), number, 1, Printing())
        worker.send([(1, None, 0, 1, 1, None)])
    await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(main())
