"""A sound record of which workers can be reached, fed by messages whose handling takes time."""

import asyncio


class Health:
    """Knows who is up: `await heard(worker, up=..., number=...)`; numbers grow with time."""

    def __init__(self, workers: list[str]) -> None:
        self.up = dict.fromkeys(workers, True)
        self.jobs: dict[str, list[str]] = {worker: [] for worker in workers}
        self._newest = dict.fromkeys(workers, 0)
        self._table = asyncio.Lock()
        self._move = asyncio.Lock()

    async def heard(self, worker: str, *, up: bool, number: int) -> None:
        """Handle one message: the worker was cut off, or can be reached again."""
        if not up:
            await self.drain(worker)
        if number > self._newest[worker]:
            self._newest[worker] = number
            self.up[worker] = up

    async def drain(self, worker: str) -> None:
        """Move the jobs of a worker to another one."""
        async with self._table:
            await asyncio.sleep(0)
            async with self._move:
                other = next(name for name in self.jobs if name != worker)
                moved, self.jobs[worker] = self.jobs[worker], []
                await asyncio.sleep(0)
                self.jobs[other] += moved

    async def assign(self, worker: str, job: str) -> None:
        """Give a worker a job."""
        async with self._table:
            await asyncio.sleep(0)
            async with self._move:
                self.jobs[worker].append(job)
