"""What the workers of a load use, looked at from outside: how many live, their memory, their processor time."""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from poolproof.chaos.rig import Rig
from poolproof.load.result import WorkerUse
from poolproof.watch import procfs

EVERY_SECONDS: Final = 0.25
"""How often; while a fault may show, at every tick."""
_MB: Final = 1e6
_NS: Final = 1_000_000_000

Look = tuple[int, Mapping[int, tuple[int, float]]]
"""When, in nanoseconds, and of each worker's pid its ticks of the processor and its resident megabytes."""


class Sampler:
    """Looks at the workers of one rig.

    Attributes:
        live: (when in CLOCK_MONOTONIC nanoseconds, how many lived), in order.
        births: when a worker was first seen that was not there in the first look.
    """

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.live: list[tuple[int, int]] = []
        self.births: list[int] = []
        self._known: set[procfs.Identity] = set()
        self._rss: dict[int, float] = {}
        self._cpu: dict[int, tuple[int, int, int, int]] = {}
        self._looks: list[Look] = []
        self._next = 0.0

    def look_if_due(self, *, eager: bool) -> None:
        """Look, unless that was a moment ago and nothing is going on; keep of many looks only some for the series."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + EVERY_SECONDS
            self._looks.append(self._look())
        elif eager:
            self._look()

    def _look(self) -> Look:
        now, workers = time.monotonic_ns(), self._rig.workers()
        first = not self.live
        self.live.append((now, len(workers)))
        used: dict[int, tuple[int, float]] = {}
        for worker in workers:
            if worker not in self._known and not first:
                self.births.append(now)
            self._known.add(worker)
            self._measure(worker.pid, now, used)
        return now, used

    def _measure(self, pid: int, now: int, used: dict[int, tuple[int, float]]) -> None:
        stat, rss = procfs.stat(pid), procfs.rss_bytes(pid)
        if stat is None or rss is None:
            return
        used[pid] = (stat.cpu_ticks, rss / _MB)
        self._rss[pid] = max(self._rss.get(pid, 0.0), rss / _MB)
        began, ticks, _, _ = self._cpu.get(pid, (now, stat.cpu_ticks, 0, 0))
        self._cpu[pid] = (began, ticks, now, stat.cpu_ticks)

    def series(self, zero: int) -> dict[int, tuple[WorkerUse, ...]]:
        """Return what each worker used in each second from `zero` on; see `by_second`."""
        return by_second(self._looks, zero)

    def uses(self) -> tuple[WorkerUse, ...]:
        """Return what each worker used."""
        return tuple(
            WorkerUse(pid=pid, rss_mb=rss, cpu_percent=self._cpu_percent(pid))
            for pid, rss in sorted(self._rss.items())
        )

    def _cpu_percent(self, pid: int) -> float:
        began, first, ended, last = self._cpu[pid]
        seconds = (ended - began) / 1e9
        return 100 * (last - first) / procfs.TICKS_PER_SECOND / seconds if seconds else 0.0


def by_second(looks: Sequence[Look], zero: int) -> dict[int, tuple[WorkerUse, ...]]:
    """Return of each second what each worker used: memory at its last look, processor time since the second before."""
    last = {(now - zero) // _NS: (now, used) for now, used in looks}
    found: dict[int, tuple[WorkerUse, ...]] = {}
    before: Look = looks[0] if looks else (zero, {})
    for second, look in last.items():
        found[second] = tuple(_used(pid, before, look) for pid in sorted(look[1]))
        before = look
    return found


def _used(pid: int, before: Look, look: Look) -> WorkerUse:
    ticks, rss = look[1][pid]
    spent = ticks - before[1].get(pid, (0, 0.0))[0]  # one that was not there was born since
    seconds = max(look[0] - before[0], 1) / _NS
    percent = 100 * spent / procfs.TICKS_PER_SECOND / seconds
    return WorkerUse(pid=pid, rss_mb=rss, cpu_percent=percent)
