"""A sound cache in front of a slow source: one load for all who ask for the same key at the same time."""

import asyncio
from collections.abc import Awaitable, Callable


class Flights:
    """Answers from memory, or loads: `await get(key)`."""

    def __init__(self, load: Callable[[str], Awaitable[int]]) -> None:
        self._load = load
        self._values: dict[str, int] = {}
        self._loading: dict[str, asyncio.Task[int]] = {}

    async def get(self, key: str) -> int:
        """Return the value, loaded once for all who ask meanwhile; a caller's end is its own."""
        if key in self._values:
            return self._values[key]
        if key not in self._loading:
            self._loading[key] = asyncio.create_task(self._fill(key))
        return await asyncio.shield(self._loading[key])

    def forget(self, key: str) -> None:
        """Load the key anew when it is next asked for."""
        self._values.pop(key, None)
        self._loading.pop(key, None)

    async def _fill(self, key: str) -> int:
        if self._loading.get(key) is not asyncio.current_task():
            return await self.get(key)  # forgotten before it has begun
        value = await self._load(key)
        if self._loading.get(key) is asyncio.current_task():
            self._values[key] = value
            del self._loading[key]
        return value
