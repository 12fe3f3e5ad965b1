"""A child of a supervisor that serves others, and is found by its name while it lives."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any

from poolproof.supervision import CoroutineProcess, Name, Parent, Registry
from poolproof.supervision.coroutine import wait_until_up


class Service(CoroutineProcess):
    """A process that serves; `service` is what its users talk to."""

    __slots__ = ("service",)

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(coroutine, loop)
        self.service: Any = None


class ServiceStarter:
    """Starts a service: makes it, waits until it is up, and gives it its name.

    Args:
        name: the name that it holds while it lives.
        registry: where.
        make: makes the service.
        close: ends it in order.
        kill: ends it at once, without waiting for anything.
        seconds: how long it may take until it is up.
    """

    def __init__(
        self,
        name: Name,
        registry: Registry,
        make: Callable[[], Awaitable[Any]],
        *,
        close: Callable[[Any], Awaitable[None]] | None = None,
        kill: Callable[[Any], None] | None = None,
        seconds: float = 60.0,
    ) -> None:
        self._name, self._registry, self._make = name, registry, make
        self._close, self._kill, self._seconds = close, kill, seconds

    @property
    def name(self) -> str:
        """What is started, for people."""
        return str(self._name)

    async def start(self, parent: Parent, _id: Hashable, /) -> Service:
        """Start the service; it is up when it is made, and has its name."""
        up: asyncio.Future[Any] = parent.loop.create_future()
        process = Service(self._live(up), parent.loop)
        await wait_until_up(process, up, self._seconds)
        process.service = up.result()
        self._registry.register(self._name, process)
        return process

    async def _live(self, up: "asyncio.Future[Any]") -> None:
        service = await self._make()
        try:
            up.set_result(service)
            await asyncio.Event().wait()
        except GeneratorExit:
            # A kill: nothing can be awaited any more.
            if self._kill is not None:
                self._kill(service)
            raise
        except BaseException:
            if self._close is not None:
                await self._close(service)
            raise
