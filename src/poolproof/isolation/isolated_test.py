"""A test with supervisors, pools and stacks of its own, each entered into its sandbox, and what they cost."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from poolproof.isolation.fixtures import Costs
    from poolproof.isolation.sandbox import Sandbox

Entered = TypeVar("Entered")


class IsolatedTest:
    """What `isolated_test` gives: the test's sandbox, and the way into it for whatever has to be started and stopped.

    ```python
    async def test_it(isolated_test):
        tree = await isolated_test.enter(start_isolated_supervisor(children, max_restarts=3))
    ```

    A fixture of a stack enters its pool in the same way, so that both are stopped in reverse order, in the test's loop,
    and the time of both counts as the layer's.
    """

    def __init__(self, isolation: "Sandbox", costs: "Costs") -> None:
        self.isolation = isolation
        self._costs = costs

    @property
    def layer(self) -> str:
        """The layer that the test runs on; `mock` unless its marker says otherwise."""
        return self._costs.layer

    async def enter(
        self,
        what: AbstractAsyncContextManager[Entered]
        | Awaitable[AbstractAsyncContextManager[Entered]],
        name: str = "",
        *,
        layer: str = "",
        proof: Callable[[], bool] | None = None,
    ) -> Entered:
        """Enter an asynchronous block, which is left when the test's body is over.

        Args:
            what: the block, or what is to be awaited for it.
            name: what it is called in reports.
            layer: the layer that it really runs on, where that is another one than the test's marker says.
            proof: tells afterwards whether it is really gone.
        """
        if layer:
            self._costs.layer = layer
        with self._costs.setup():
            return await self.isolation.enter(what, name, proof=proof)
