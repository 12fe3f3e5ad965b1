"""The process at the top of a host: it holds the tree together and ends it when the controller is gone.

It never runs a line of the target's code, so nothing that the target does can stop it from cleaning up.
"""

import os
import select
import signal
import socket
import sys

from poolproof.agent import containment, zygote


def main(lifeline: int, control: int) -> None:
    """Fork the zygote onto `control`; when `lifeline` reaches its end or the zygote exits, end all that is below."""
    os.setsid()
    containment.become_subreaper()
    child = _fork_zygote(lifeline, control)
    os.close(control)
    _watch(lifeline, child)
    containment.end_all_below(os.getpid())


def _fork_zygote(lifeline: int, control: int) -> int:
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(lifeline)
        containment.die_with_parent(parent)
        zygote.serve(socket.socket(fileno=control))
        os._exit(0)
    return child


def _watch(lifeline: int, child: int) -> None:
    alarm, bell = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(bell, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while child not in (pid for pid, _ in containment.reap()):
        ready, _, _ = select.select([lifeline, alarm], [], [])
        if lifeline in ready:
            return
        os.read(alarm, 4096)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
