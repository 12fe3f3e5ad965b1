"""Signals sent by identity: a process is its pid together with its start time, never a pid alone."""

import os
import signal
from contextlib import suppress

from poolproof.watch import procfs


def send_signal(identity: procfs.Identity, number: int) -> bool:
    """Send a signal to exactly this process; return False if it is gone, whoever has its pid now."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        if procfs.identity(identity.pid) != identity:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)
            return True
        return False
    finally:
        os.close(descriptor)
