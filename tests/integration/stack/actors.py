"""The actors of the stack's tests; apart from them, because a zygote imports the module of its workers."""

import os
from asyncio import sleep as work_for
from typing import Any


class Account:
    """It adds, says what it has, waits, raises, and can be told to die."""

    def __init__(self, opening: int = 0) -> None:
        self.balance = opening

    def init(self) -> None:
        """Begin with one more than nothing."""
        self.balance += 1

    async def handle(self, request: Any) -> Any:
        """Do as told, or return the request."""
        match request:
            case ["add", amount]:
                self.balance += amount
                return self.balance
            case ["wait", seconds]:
                await work_for(seconds)
                return seconds
            case ["raise", text]:
                raise ValueError(text)
            case ["exit", status]:
                raise SystemExit(status)
            case ["unsendable"]:
                return object()
            case _:
                return request

    def ping(self) -> bool:
        """Be well unless overdrawn."""
        return self.balance >= 0


class Broken:
    """Its start fails."""

    def init(self) -> None:
        """Fail."""
        raise OSError("no such device")

    def handle(self, request: Any) -> Any:
        """Return the request."""
        return request


class Which:
    """Tells in which process it runs, and how many requests it has seen."""

    def __init__(self) -> None:
        self.seen = 0

    def handle(self, request: Any) -> Any:
        """Tell it."""
        self.seen += 1
        return [request, os.getpid(), self.seen]


class Ledgered:
    """A small account book, with errors and an end."""

    def __init__(self) -> None:
        self.sum = 0

    def handle(self, request: Any) -> Any:
        """Do as told, or return the request."""
        match request:
            case ["add", amount]:
                self.sum += amount
                return {"sum": self.sum, "pair": (amount, self.sum)}
            case ["raise", text]:
                raise KeyError(text)
            case ["exit"]:
                raise SystemExit(2)
            case _:
                return request
