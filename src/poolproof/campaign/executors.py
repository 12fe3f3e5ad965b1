"""Who plays the tasks of a campaign: processes of this machine, or whatever has the face of an executor."""

import asyncio
import concurrent.futures
import contextlib
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final, Protocol

from poolproof.campaign.performing import MOST_TASK_BYTES, perform
from poolproof.campaign.tasks import Failed, Message, decode_message, decode_task, encode

LEAVE_SECONDS: Final = 20.0


class Executor(Protocol):
    """The seam: anything that plays a task somewhere and hands back what is said, a line each, as bytes."""

    def perform(self, task: bytes) -> AsyncIterator[bytes]:
        """Play one task; many may be asked for at once."""
        ...

    def close(self) -> None:
        """Take nothing more; what was not begun is dropped."""


class LocalProcesses:
    """A process of its own for each task. It ends with its task, with its controller, and when nobody listens."""

    async def perform(self, task: bytes) -> AsyncGenerator[bytes]:
        """Yield each line as soon as it is said."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "poolproof.campaign.performing"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=MOST_TASK_BYTES,
            start_new_session=True,  # Ctrl-C is for the controller, which ends it in order
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(task + b"\n")
            while line := await process.stdout.readline():
                yield line
            if await process.wait():
                why = f"a process that plays for this campaign ended with exit code {process.returncode}"
                yield encode(Failed(message=why, exit_code=4))
        finally:
            process.stdin.close()  # at which it ends all that it has started
            await _ended(process)

    def close(self) -> None:
        """Nothing is open between tasks."""


async def _ended(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.shield(process.wait()), LEAVE_SECONDS)
    if process.returncode is None:
        process.kill()
        await process.wait()


class Futures:
    """Any `concurrent.futures.Executor`: of Dask, by `Client.get_executor()`; of Ray, MPI and the like, by theirs.

    Where its workers run, poolproof and the target must be installed. What a task says comes when it is done.
    """

    def __init__(self, executor: concurrent.futures.Executor) -> None:
        self._executor = executor

    async def perform(self, task: bytes) -> AsyncGenerator[bytes]:
        """Yield all lines at the end."""
        for line in await asyncio.wrap_future(self._executor.submit(perform_there, task)):
            yield line

    def close(self) -> None:
        """Shut the executor down."""
        self._executor.shutdown(cancel_futures=True)


def perform_there(task: bytes) -> list[bytes]:
    """Do one task and return what it says; a plain function of bytes, so that any executor can take it."""
    said: list[bytes] = []

    def say(message: Message) -> None:
        said.append(encode(message))

    asyncio.run(perform(decode_task(task), say))
    return said


__all__ = ["Executor", "Futures", "LocalProcesses", "decode_message", "perform_there"]
