"""The process at the top of a host: it holds the tree together and ends it when the controller is gone.

It never runs a line of the target's code, so nothing that the target does can stop it from cleaning up.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from poolproof.agent import containment

SIGNALLED: Final = 128


def main(lifeline: int, control: int, serve: Callable[[socket.socket], None]) -> int:
    """Fork the zygote onto `control`; when `lifeline` reaches its end or the zygote exits, end all that is below.

    Args:
        lifeline: the reading end of a pipe, or a pidfd, of the controller.
        control: the zygote's socket.
        serve: what the zygote does with it.

    Returns:
        The zygote's exit code, as a shell would tell it; 0 if it had not ended by itself.
    """
    os.setsid()
    containment.become_subreaper()
    child = _fork_zygote(lifeline, control, serve)
    os.close(control)
    status = _watch(lifeline, child)
    containment.end_all_below(os.getpid())
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else SIGNALLED - code


def _fork_zygote(lifeline: int, control: int, serve: Callable[[socket.socket], None]) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(lifeline)
        containment.die_with_parent(parent)
        with socket.socket(fileno=control) as connection:
            serve(connection)
        os._exit(0)
    return child


def _watch(lifeline: int, child: int) -> int:
    """Return the zygote's wait status once it has ended, or 0 once the lifeline has."""
    alarm, bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _be_woken)
    while child not in (dead := dict(containment.reap())):
        ready, _, _ = select.select([lifeline, alarm], [], [])
        if lifeline in ready:
            return 0
        os.read(alarm, 4096)
    return dead[child]


def _be_woken(_number: int, _frame: object) -> None:
    """Do nothing: the signal has already rung the bell."""


if __name__ == "__main__":
    # Here, so that keepers of other zygotes do not import this one.
    from poolproof.agent import zygote

    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), zygote.serve))
