"""Who lives in a trial's tree, seen from outside: births, deaths as they are noticed, and what each process holds."""

from typing import Any

import psutil

from poolproof.host import Trial
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity


class Census:
    """Journals, into the history of one trial, the births and deaths below its root."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._living: dict[int, Identity] = {}

    def take(self) -> None:
        """Journal who has come and who has gone since the last time."""
        now = {
            pid: who
            for pid in self._trial.processes()
            if (who := procfs.identity(pid)) and procfs.alive(who)
        }
        for pid, who in self._living.items():
            if now.get(pid) != who:
                self._trial.write(
                    "death", data={"child": pid, "born": who.born, "status": None, "orphan": False}
                )
        for pid, who in now.items():
            if self._living.get(pid) != who:
                self._trial.write("birth", data={"child": pid, "born": who.born})
        self._living = now

    def measure(self) -> None:
        """Journal what each process holds: memory in bytes, processor time in seconds, descriptors, threads."""
        held = [
            measured for who in self._living.values() if (measured := _measure(who)) is not None
        ]
        self._trial.write("sample", data={"label": "tree", "held": held})


def _measure(who: Identity) -> dict[str, Any] | None:
    try:
        process = psutil.Process(who.pid)
        with process.oneshot():
            times = process.cpu_times()
            return {
                "pid": who.pid,
                "born": who.born,
                "rss_bytes": process.memory_info().rss,
                "cpu_seconds": round(times.user + times.system, 3),
                "fds": process.num_fds(),
                "threads": process.num_threads(),
            }
    except psutil.Error:  # it has gone meanwhile, or is not ours to look at
        return None
