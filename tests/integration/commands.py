"""Runs the command as its users do, in a process and a directory of its own, and sees what it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

PATIENCE_SECONDS: Final = 100.0
QUICK: Final = ("--crash-points", "off", "--seed", "1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: its exit code, what it printed, and the pids of what it left running."""

    code: int
    out: str
    err: str
    left: list[int]

    @property
    def complaint(self) -> str:
        """What it printed on standard error from its refusal on; "" where there is none."""
        return self.err[start:] if (start := self.err.find("poolproof: expected ")) >= 0 else ""


@contextmanager
def hearing_interrupts() -> Generator[None]:
    """Start what hears SIGINT, as from a terminal: a shell lets what it runs in the background ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Command:
    """One running `poolproof`; every process below it carries a mark of its own in its environment."""

    def __init__(self, *arguments: str, cwd: Path, **environment: str) -> None:
        self.mark = f"POOLPROOF_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        with hearing_interrupts():
            self.process = subprocess.Popen(
                [sys.executable, "-m", "poolproof", *arguments],
                cwd=cwd,
                env={**os.environ, **environment, name: value},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def end(self, patience: float = PATIENCE_SECONDS) -> Ended:
        """Wait for its end, and look at what is left at that moment."""
        try:
            out, err = self.process.communicate(timeout=patience)
        finally:
            self.process.kill()
        code = self.process.returncode
        return Ended(code=code, out=out, err=err, left=self.processes())

    def processes(self) -> list[int]:
        """Return the processes that carry the mark and can still run."""
        found = (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())
        return [pid for pid in found if self._has(pid)]

    def _has(self, pid: int) -> bool:
        try:
            marked = self.mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            return marked and " Z " not in Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except OSError:
            return False


def check(*arguments: str, cwd: Path, **environment: str) -> Ended:
    """Run `poolproof check` to its end."""
    return Command("check", *arguments, cwd=cwd, **environment).end()


def until(fact: Callable[[], object]) -> None:
    """Wait for a fact, and fail where it does not come."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def loaded(path: Path) -> dict[str, Any]:
    """Return what a report says."""
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found
