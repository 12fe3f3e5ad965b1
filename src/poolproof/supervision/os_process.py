"""Children that are operating-system processes.

SIGTERM to stop, SIGKILL to kill, and nothing left of them.
"""

import asyncio
import os
import signal
import subprocess
import uuid
from collections.abc import Awaitable, Hashable, Mapping, Sequence
from typing import Any, Final

from poolproof.supervision.containment import Forge, forge
from poolproof.supervision.overriding import override
from poolproof.supervision.process import Parent, Process
from poolproof.supervision.reasons import KILLED, NORMAL, ExitReason, error

_ENDED_AS_TOLD: Final = (0, -signal.SIGTERM, 128 + signal.SIGTERM)


class OsProcess(Process):
    """A running operating-system process in a session of its own.

    Made by a supervisor from `os_process(...)`.

    Attributes:
        pid: its process id.
        popen: its pipes, where some were asked for; do not wait for it or signal it by this.
    """

    __slots__ = ("_asked", "_descriptor", "_forge", "_loop", "_token", "pid", "popen")

    def __init__(self, made_by: Forge, popen: "subprocess.Popen[bytes]", token: str) -> None:
        super().__init__()
        self._forge, self._token = made_by, token
        self._loop = asyncio.get_running_loop()
        self._asked: ExitReason | None = None
        self.popen, self.pid = popen, popen.pid
        self._descriptor: int | None = os.pidfd_open(self.pid)
        self._loop.add_reader(self._descriptor, self._ended)

    def _ended(self) -> None:
        if self._descriptor is None:
            return
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = None
        buried = self._forge.do(lambda: self._forge.bury(self.popen, self._token))
        buried.add_done_callback(self._buried)

    def _buried(self, done: "asyncio.Future[int]") -> None:
        status = done.result()
        if status == -signal.SIGKILL:
            self.finish(KILLED)
        elif self._asked is not None and status in _ENDED_AS_TOLD:
            self.finish(self._asked)
        else:
            self.finish(NORMAL if status == 0 else error(_described(status)))

    @override
    def signal(self, reason: ExitReason, _sender: Process | None, /) -> None:
        """Send SIGTERM for a shutdown, SIGKILL for what is abnormal; `normal` is ignored."""
        if reason != NORMAL:
            self._asked = reason
            self._send(signal.SIGKILL if reason.abnormal else signal.SIGTERM)

    @override
    def kill(self) -> None:
        """Send SIGKILL; the end is noted when it has happened."""
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        if self._descriptor is not None:
            signal.pidfd_send_signal(self._descriptor, number)


def _described(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


class OsProcessStarter:
    """Starts the same command each time; made by `os_process`."""

    __slots__ = ("_argv", "_environment", "_options")

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str] | None, options: dict[str, Any]
    ) -> None:
        self._argv, self._environment, self._options = tuple(argv), environment, options

    @property
    def name(self) -> str:
        """What is started, for people."""
        return " ".join(self._argv)[:200]

    def start(self, _parent: Parent, _id: Hashable, /) -> Awaitable[OsProcess]:
        """Fork and execute; up as soon as that has succeeded."""
        return self._start()

    async def _start(self) -> OsProcess:
        made_by, token = forge(), uuid.uuid4().hex
        environment = dict(os.environ if self._environment is None else self._environment)
        forked = made_by.do(lambda: made_by.fork(self._argv, token, environment, **self._options))
        try:
            return OsProcess(made_by, await asyncio.shield(forked), token)
        except asyncio.CancelledError:
            # Its supervisor has ended meanwhile: what is born now must not live.
            forked.add_done_callback(lambda done: _undo(made_by, done, token))
            raise


def _undo(made_by: Forge, forked: "asyncio.Future[subprocess.Popen[bytes]]", token: str) -> None:
    if forked.cancelled() or forked.exception() is not None:
        return
    popen = forked.result()
    popen.kill()
    made_by.do(lambda: made_by.bury(popen, token))


def os_process(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    stdin: Any = subprocess.DEVNULL,
    stdout: Any = None,
    stderr: Any = None,
    pass_fds: Sequence[int] = (),
) -> OsProcessStarter:
    """Return a starter for a command. Linux only.

    It runs in a session of its own. It, and what it starts, ends when this interpreter does,
    however that ends; only a descendant that leaves the session *and* clears its environment
    escapes.

    Args:
        argv: the program and its arguments.
        env: its whole environment; None for ours.
        cwd: its working directory; None for ours.
        stdin: as for `subprocess.Popen`, like `stdout`, `stderr` and `pass_fds`.
        stdout: where its output goes.
        stderr: where its errors go.
        pass_fds: descriptors that it inherits.
    """
    options = {
        "cwd": cwd,
        "stdin": stdin,
        "stdout": stdout,
        "stderr": stderr,
        "pass_fds": tuple(pass_fds),
    }
    return OsProcessStarter(argv, env, options)
