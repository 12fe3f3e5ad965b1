"""Ends what a killed interpreter leaves behind; run as a script of its own, standard library only.

A guardian watches one interpreter from outside its session. When that is gone, however it went,
every process that carries the interpreter's token in its environment gets SIGKILL, and the guardian
ends.
"""

import contextlib
import os
import select
import signal
import sys
import time

VARIABLE = "POOLPROOF_TREE"
_ROUNDS = 50
_EXEC_LOOKS = 100
_EXEC_SECONDS = 0.001


def tokens_of(pid: int) -> list[str]:
    """Return the tokens in the environment that a process was started with.

    None if it cannot be read.
    """
    start = VARIABLE.encode() + b"="
    fields = _environment(pid).split(b"\0")
    found = [field[len(start) :].decode() for field in fields if field.startswith(start)]
    return found[0].split(":") if found else []


def _environment(pid: int) -> bytes:
    """Return it as /proc has it.

    It has none while the process executes a program, and no command line: whoever is met then must
    not be missed. A zombie, which has neither, has no executable either.
    """
    done = False
    try:
        for _ in range(_EXEC_LOOKS):
            if (found := _bytes(f"/proc/{pid}/environ")) or done:
                return found
            done = bool(_bytes(f"/proc/{pid}/cmdline")) or not os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115 (as below)
            if not done:
                time.sleep(_EXEC_SECONDS)
    except OSError:
        pass
    return b""


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123 (pathlib costs the guardian 10 ms to start)
        return file.read()


def carriers(token: str) -> list[int]:
    """Return the living processes that carry `token`, zombies excepted."""
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208 (as above)
    return [pid for pid in pids if token in tokens_of(pid)]


def sweep(token: str) -> int:
    """Kill every process that carries `token`, until there is none.

    Return how many signals that took.
    """
    sent = 0
    for _ in range(_ROUNDS):
        found = [pid for pid in carriers(token) if pid != os.getpid()]
        if not found:
            break
        for pid in found:
            sent += _kill(pid, token)
    return sent


def _kill(pid: int, token: str) -> int:
    """Kill exactly the process that carries the token, not one that has its pid by now.

    Wait for its end.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return 0
    try:
        if token not in tokens_of(pid):
            return 0
        with contextlib.suppress(ProcessLookupError, PermissionError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [], 1.0)
    finally:
        os.close(descriptor)
    return 1


def watch(interpreter: int, token: str) -> None:
    """Wait for the end of `interpreter`, the parent of this process, then sweep."""
    try:
        descriptor = os.pidfd_open(interpreter)
    except ProcessLookupError:
        descriptor = -1
    # Not the parent any more: it ended before it could be watched, and its pid may be somebody
    # else's.
    if descriptor >= 0 and os.getppid() == interpreter:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
    sweep(token)


if __name__ == "__main__":
    watch(int(sys.argv[1]), sys.argv[2])
