"""Operating-system children that cannot outlive us.

Session, parent-death signal, token, and a guardian outside.

The parent-death signal of Linux fires when the *thread* ends that forked, not the process. So all
children are forked by one thread that lives as long as the interpreter.
"""

import asyncio
import concurrent.futures
import contextlib
import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from poolproof.errors import UsageError
from poolproof.isolation.processes import serves_all
from poolproof.supervision import guardian
from poolproof.supervision.guardian import VARIABLE, sweep

T = TypeVar("T")

_PR_SET_PDEATHSIG: Final = 1


class Forge:
    """The thread that forks an interpreter's contained children, and their guardian."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.token = uuid.uuid4().hex
        self._work: queue.SimpleQueue[tuple[Callable[[], Any], concurrent.futures.Future[Any]]] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._held = 0
        self._guardian: subprocess.Popen[bytes] | None = None
        # With PyDLL the call needs no lock, so the forked child can make it whatever other threads
        # held.
        self._prctl: Any = ctypes.PyDLL(None).prctl

    @property
    def guardian_pid(self) -> int | None:
        """The process id of the guardian, while there is one."""
        return None if self._guardian is None else self._guardian.pid

    def do(self, work: Callable[[], T]) -> "asyncio.Future[T]":
        """Have the thread do `work`; return what to await for its result."""
        done: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="poolproof-forge", daemon=True
                )
                self._thread.start()
        self._work.put((work, done))
        return asyncio.wrap_future(done)

    def _run(self) -> None:
        while True:
            work, done = self._work.get()
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work())
            except BaseException as exception:  # noqa: BLE001 (it belongs to whoever asked)
                done.set_exception(exception)

    def fork(
        self, argv: Sequence[str], token: str, environment: Mapping[str, str], **options: Any
    ) -> "subprocess.Popen[bytes]":
        """Start a contained process; on the forge's own thread only.

        Raises:
            OSError: it cannot be executed.
        """
        self._hold()
        inherited = os.environ.get(VARIABLE)
        tokens = [*([inherited] if inherited else []), self.token, token]
        try:
            return subprocess.Popen[bytes](
                list(argv),
                env={**environment, VARIABLE: ":".join(tokens)},
                start_new_session=True,
                preexec_fn=self._die_with_us,
                **options,
            )
        except BaseException:
            self.release()
            raise

    def _die_with_us(self) -> None:
        self._prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != self.pid:
            os._exit(127)

    def _hold(self) -> None:
        self._held += 1
        if self._guardian is None:
            command = [sys.executable, "-I", "-S", guardian.__file__, str(self.pid), self.token]
            self._guardian = subprocess.Popen(  # noqa: S603 (our own script)
                command,
                cwd="/",
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
            serves_all(self._guardian.pid)

    def release(self) -> None:
        """Note the end of one contained process; with the last one the guardian ends.

        On the forge's thread only.
        """
        self._held -= 1
        if self._held == 0 and self._guardian is not None:
            watching, self._guardian = self._guardian, None
            watching.kill()
            watching.wait()

    def bury(self, process: "subprocess.Popen[bytes]", token: str) -> int:
        """Kill what an ended process has left, reap it, and return its exit status.

        On the forge's thread only.
        """
        # Before it is reaped its pid, so its group's id, cannot be anybody else's.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        sweep(token)
        self.release()
        return status


_forge: Forge | None = None


def forge() -> Forge:
    """Return this interpreter's forge; a forked interpreter gets one of its own.

    Raises:
        UsageError: the platform has no parent-death signal, pidfds and /proc.
    """
    global _forge  # noqa: PLW0603 (one per interpreter is what it is)
    if not sys.platform.startswith("linux"):
        raise UsageError(
            f"expected Linux for contained processes, got {sys.platform}; not available here"
        )
    if _forge is None or _forge.pid != os.getpid():
        _forge = Forge()
    return _forge
