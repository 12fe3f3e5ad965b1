"""The workers of the conformance cases: at the top level of a module, so that every layer can have them."""

import asyncio
import os
from typing import Any, ClassVar


class OwnError(Exception):
    """An error that says of which category it is."""

    category: ClassVar[str] = "resource"


class UnprintableError(Exception):
    """An error whose text cannot be had."""

    def __str__(self) -> str:
        """Fail."""
        return str(1 // 0)


class Plain:
    """Does what the first item of a request says."""

    def __init__(self, given: Any = None) -> None:
        self.given = given
        self.begun = False
        self.count = 0
        self.kept: Any = None
        self.mood = "well"

    def init(self) -> None:
        """Note that it ran."""
        self.begun = True

    def ping(self) -> bool:
        """Be as it was told to be."""
        if self.mood == "failing":
            raise ZeroDivisionError("unwell")
        return self.mood != "unwell"

    def terminate(self) -> None:
        """The same."""
        self.ping()

    def handle(self, request: list[Any]) -> Any:
        """Do one request."""
        verb, *rest = request
        return getattr(self, f"do_{verb.replace(' ', '_')}")(*rest)

    def do_echo(self, value: Any) -> Any:
        """Return it."""
        return value

    def do_keep(self, value: Any) -> Any:
        """Keep it, and return it."""
        self.kept = value
        return value

    def do_kept(self) -> Any:
        """Return what was kept."""
        return self.kept

    def do_type(self, value: Any) -> str:
        """Return the name of its type."""
        return type(value).__name__

    def do_count(self) -> int:
        """Count."""
        self.count += 1
        return self.count

    def do_ready(self) -> Any:
        """Return what it was made of, and whether `init` ran."""
        return self.given, self.begun

    def do_object(self) -> object:
        """Return what no wire carries."""
        return object()

    def do_length(self, count: int) -> bytes:
        """Return so many bytes."""
        return bytes(count)

    def do_mood(self, mood: str) -> None:
        """Be well, unwell or failing from here on."""
        self.mood = mood

    def do_pid(self) -> int:
        """Return the process."""
        return os.getpid()

    def do_exit(self, status: int) -> None:
        """End the worker."""
        raise SystemExit(status)

    def do_raise(self, text: str) -> None:
        """Raise ValueError."""
        raise ValueError(text)

    def do_raise_own(self, text: str) -> None:
        """Raise an error with a category."""
        raise OwnError(text)

    def do_raise_surrogate(self) -> None:
        """Raise an error whose text UTF-8 does not have."""
        raise ValueError(os.fsdecode(b"\xff"))

    def do_raise_unprintable(self) -> None:
        """Raise an error without a text."""
        raise UnprintableError


class Awaiting(Plain):
    """The same with a handler that awaits."""

    def __init__(self, given: Any = None) -> None:
        super().__init__(given)
        self.inside = 0

    async def handle(self, request: list[Any]) -> Any:
        """Do one request."""
        match request:
            case ["hang"]:
                return await asyncio.get_running_loop().create_future()
            case ["overlap"]:
                return await self._overlap()
            case _:
                await asyncio.sleep(0)
                return super().handle(request)

    async def _overlap(self) -> int:
        """Return how many requests are being done at this moment."""
        self.inside += 1
        try:
            await asyncio.sleep(0)
            return self.inside
        finally:
            self.inside -= 1


def double(request: int, more: int) -> int:
    """Return twice the request, and more."""
    return 2 * request + more


async def double_awaiting(request: int, more: int) -> int:
    """The same."""
    await asyncio.sleep(0)
    return double(request, more)


class Unmakeable:
    """Cannot be made."""

    def __init__(self) -> None:
        raise ValueError("not today")

    def handle(self, request: Any) -> Any:
        """Return it."""
        return request


class Uninitialised:
    """Cannot begin."""

    def init(self) -> None:
        """Fail."""
        raise ValueError("not today")

    def handle(self, request: Any) -> Any:
        """Return it."""
        return request


class UninitialisedAwaiting(Uninitialised):
    """The same, later."""

    async def init(self) -> None:  # type: ignore[override]
        """Fail."""
        await asyncio.sleep(0)
        raise ValueError("not today")


class Slow:
    """Takes for ever to begin."""

    async def init(self) -> None:
        """Hang."""
        await asyncio.get_running_loop().create_future()

    def handle(self, request: Any) -> Any:
        """Return it."""
        return request


class NoWorker:
    """Handles nothing."""
