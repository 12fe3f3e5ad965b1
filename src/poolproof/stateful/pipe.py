"""Where probes in other processes say what they have begun: a named pipe, read as it comes.

What a process has written stays in the pipe, whatever becomes of the process.
"""

import asyncio
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from poolproof import probe

_READ_BYTES: Final = 65_536


class Pipe:
    """A named pipe in a directory of its own, open for as long as its loop reads it.

    Attributes:
        path: its name; that of its probes' witness, too.
    """

    def __init__(self) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="poolproof-machine-"))
        self.path = str(self._place / "begun")
        os.mkfifo(self.path, 0o600)
        # For writing, too, so that it has no end while no probe has it open.
        self._end = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self._broken_line = b""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._end, self.read)

    def read(self) -> None:
        """Note what has come by now."""
        said = self._broken_line
        try:
            while part := os.read(self._end, _READ_BYTES):
                said += part
        except BlockingIOError:
            pass
        *lines, self._broken_line = said.split(b"\n")
        if lines:
            probe.begun(self.path, map(int, lines))

    def close(self) -> None:
        """Read no more, and remove it."""
        self._loop.remove_reader(self._end)
        os.close(self._end)
        shutil.rmtree(self._place, ignore_errors=True)
