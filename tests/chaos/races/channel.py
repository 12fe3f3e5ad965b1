"""A sound channel to a worker: many questions under way at once, each with the answer that is its own."""

import asyncio
from collections.abc import Awaitable, Callable


class Channel:
    """Asks: `answer = await ask(question)`; the wire calls `heard` for each reply."""

    def __init__(self, send: Callable[[int, str], Awaitable[None]], window: int) -> None:
        self._send = send
        self._window = asyncio.Semaphore(window)
        self._last = 0
        self._replies: dict[int, asyncio.Future[str]] = {}

    async def ask(self, question: str) -> str:
        """Send the question when the window allows it, and return its answer."""
        async with self._window:
            self._last += 1
            number = self._last
            reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            self._replies[number] = reply
            try:
                await self._send(number, question)
                return await reply
            finally:
                self._replies.pop(number, None)

    def heard(self, number: int, answer: str) -> None:
        """Hand an answer to who waits for it; a late one, for somebody gone, is dropped."""
        reply = self._replies.get(number)
        if reply and not reply.done():
            reply.set_result(answer)
