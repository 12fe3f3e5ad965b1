"""What is done to single worker processes by the kernel's means, and undone: ended, stopped, slowed, starved."""

import asyncio
import resource
import signal
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

from poolproof.isolation.containment import send_signal
from poolproof.scenarios.data import Deed
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

PERIOD_SECONDS: Final = 0.02
"""How long a slowed process runs before it stands still for some such periods."""
LOOK_SECONDS: Final = 0.001
DEEDS: Final[frozenset[Deed]] = frozenset({"kill", "pause", "slow", "starve"})


class Processes:
    """The processes that were harmed, and how each is made whole."""

    def __init__(self) -> None:
        self._stopped: dict[Identity, asyncio.Task[None]] = {}
        self._limits: dict[Identity, tuple[int, int]] = {}
        self._killed: list[Identity] = []
        self._still: dict[str, Counter[int]] = {"pause": Counter(), "slow": Counter()}

    def do(self, deed: Deed, victims: Iterable[Identity], most: float) -> None:
        """Do one deed to each; `most` is by how much to slow, or how many bytes more each may have."""
        for who in victims:
            if deed == "kill":
                send_signal(who, signal.SIGKILL)
                self._killed.append(who)
            elif deed in self._still:
                harm = self._pause(who) if deed == "pause" else self._slow(who, most)
                self._stopped[who] = asyncio.get_running_loop().create_task(harm)
            else:
                self._limit(who, int(most))

    def _limit(self, who: Identity, margin_bytes: int) -> None:
        with suppress(OSError):
            pages = int(procfs.read(f"/proc/{who.pid}/statm").split()[0])
            now = resource.prlimit(who.pid, resource.RLIMIT_AS)
            self._limits.setdefault(who, now)
            soft = pages * resource.getpagesize() + margin_bytes
            resource.prlimit(who.pid, resource.RLIMIT_AS, (soft, now[1]))

    def receipt(self, deed: str) -> str | None:
        """Return what the kernel says of those to whom it was done."""
        if deed == "kill":
            gone = [who.pid for who in self._killed if not procfs.alive(who)]
            return f"gone from /proc: {', '.join(map(str, gone))}" if gone else None
        if deed == "starve":
            limits = [resource.prlimit(who.pid, resource.RLIMIT_AS)[0] for who in self._limited()]
            return f"limits in bytes: {limits[:5]}" if limits else None
        still = self._still.get(deed, Counter())
        who = ", ".join(map(str, still))
        return f"{still.total()} times in state T, says /proc: {who}" if still.total() else None

    def _limited(self) -> list[Identity]:
        return [who for who in self._limits if procfs.alive(who)]

    def heal(self) -> None:
        """Let all go on, and give every limit back."""
        for who, task in self._stopped.items():
            task.cancel()
            send_signal(who, signal.SIGCONT)
        for who in self._limited():
            with suppress(OSError):
                resource.prlimit(who.pid, resource.RLIMIT_AS, self._limits[who])

    def healed(self) -> str | None:
        """Return what the kernel says of whoever was harmed and lives."""
        if any(procfs.state(who.pid) == "T" for who in self._stopped if procfs.alive(who)):
            return None
        for who in self._limited():
            if resource.prlimit(who.pid, resource.RLIMIT_AS) != self._limits[who]:
                return None
        return "nobody stands still, and every limit is what it was"

    async def _pause(self, who: Identity) -> None:
        """Have a process stand still, and look until it does."""
        while send_signal(who, signal.SIGSTOP):
            if procfs.state(who.pid) == "T":
                self._still["pause"][who.pid] += 1
                return
            await asyncio.sleep(LOOK_SECONDS)

    async def _slow(self, who: Identity, factor: float) -> None:
        """Let a process run for one period, and stand still for `factor` periods, in turn."""
        while send_signal(who, signal.SIGSTOP):
            await asyncio.sleep(PERIOD_SECONDS * max(1.0, factor))
            self._still["slow"][who.pid] += procfs.state(who.pid) == "T"
            send_signal(who, signal.SIGCONT)
            await asyncio.sleep(PERIOD_SECONDS)
