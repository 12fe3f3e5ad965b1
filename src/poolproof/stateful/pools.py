"""The machine of any pool: Hypothesis chooses what is asked and what is done to it, a model what it may answer."""

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, cast

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, consumes, precondition

from poolproof.errors import UsageError
from poolproof.simulation import SimulationStalledError
from poolproof.stateful.judging import Judge, stalled
from poolproof.stateful.machine import AsyncRuleBasedStateMachine, invariant, rule
from poolproof.stateful.model import PoolModel
from poolproof.stateful.promises import broken
from poolproof.stateful.subject import SPOILINGS, Offer, Subject

T = TypeVar("T")
if TYPE_CHECKING:
    from poolproof.transport.base import Layer

F = TypeVar("F", bound=Callable[..., Any])
LAYERS: Final[tuple["Layer", ...]] = ("mock", "bridge_mock", "full")
MOST_WORKERS: Final = 4
MOST_SECONDS: Final = 10
ANY_WORKER: Final = st.integers(0, MOST_WORKERS - 1)


def _offered(offer: Offer) -> Callable[[F], F]:
    made: Any = precondition(lambda self: offer in self.subject.offers)

    def decorate(function: F) -> F:
        return cast("F", made(function))

    return decorate


class PoolMachine(AsyncRuleBasedStateMachine):
    """What is asked of a pool and done to it, in any order; made by `pool_state_machine`.

    Each rule ends when the pool has been asked, not when it has answered. At the end of a case all
    is healed; then every caller must have an outcome, the pool must serve new jobs in the places of
    all its workers, and its shutdown must end.
    """

    @staticmethod
    def make() -> Subject:
        """Return the pool of a new case, not started yet; `pool_state_machine` puts it in."""
        raise UsageError("expected a machine made by pool_state_machine, got its base class")

    size: ClassVar[int] = 2
    jobs = Bundle[int]("jobs")
    leases = Bundle[Any]("leases")

    def __init__(self) -> None:
        super().__init__()
        self.subject: Subject = self.make()
        self.model = PoolModel()
        self.judge = Judge(self.subject, self.model)
        self._opened = False
        self._held: list[Any] = []

    def ready(self) -> Subject:
        """Return the subject; its pool is started on the first use, when the order of steps is known."""
        if not self._opened:
            self._opened = True
            self.drive(self.subject.open())
        return self.subject

    def _whom(self, worker: int) -> int | None:
        living = self.ready().workers()
        return worker % living if living else None

    @rule(target=jobs)
    def submit(self) -> int:
        """Ask for a job."""
        self.ready()
        return self.drive(self.judge.submit())

    @rule(job=jobs)
    def wait_for(self, job: int) -> None:
        """Wait for a job that nothing stands in the way of."""
        if not self.model.lasting:
            self.drive(self.judge.wait_for([job]))

    @rule(job=jobs)
    @_offered("cancel")
    def cancel(self, job: int) -> None:
        """Give a job up."""
        self.judge.look()
        if self.model.jobs[job].outcome is None:
            self.model.jobs[job].harmed = True
            if self.drive(self.ready().cancel(job)):
                self.model.cancelled(job, self.subject.starts().get(job, 0))

    @rule(worker=ANY_WORKER)
    @_offered("kill")
    def kill(self, worker: int) -> None:
        """End a worker at once."""
        if (whom := self._whom(worker)) is not None:
            self.model.harmed(None if self.subject.recovers else "killed")
            self.drive(self.subject.kill(whom))

    @rule(worker=ANY_WORKER)
    @_offered("pause")
    def pause(self, worker: int) -> None:
        """Let a worker stand still."""
        if (whom := self._whom(worker)) is not None:
            self.model.harmed("paused")
            self.drive(self.subject.pause(whom))

    @rule()
    @_offered("pause")
    def heal(self) -> None:
        """Let all that stands still go on, and spoil nothing more."""
        self.drive(self.ready().heal())
        self.model.healed()

    @rule(target=leases)
    @_offered("checkout")
    def checkout(self) -> Any:
        """Have a worker alone."""
        lease = self.drive(self.ready().checkout())
        if lease is not None:
            self._held.append(lease)
            self.model.harmed("lent")  # who waits behind it may run into its deadline
        return lease

    @rule(lease=consumes(leases))
    @_offered("checkout")
    def checkin(self, lease: Any) -> None:
        """Give a worker back."""
        if lease is not None:
            self.drive(self._give_back([lease]))

    @rule(size=st.integers(1, MOST_WORKERS))
    @_offered("resize")
    def resize(self, size: int) -> None:
        """Change the number of workers; one that is held or stands still cannot be retired."""
        if not self.model.lasting:
            self.drive(self.ready().resize(size))

    @rule(worker=ANY_WORKER, how=st.sampled_from(SPOILINGS))
    @_offered("spoil")
    def spoil(self, worker: int, how: str) -> None:
        """Spoil the next frame of a worker."""
        if (whom := self._whom(worker)) is not None:
            self.model.harmed("spoiled")
            self.drive(self.subject.spoil(whom, how))

    @rule(seconds=st.integers(1, MOST_SECONDS))
    @_offered("advance")
    def let_time_pass(self, seconds: int) -> None:
        """Let virtual time pass."""
        self.drive(self.ready().advance(seconds))

    @invariant()
    def keeps_its_promises(self) -> None:
        """Compare what is known with what the model allows."""
        if self._opened:
            self.judge.look()

    def drive(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Drive a coroutine; a simulation that can never go on breaks a promise, too."""
        try:
            return super().drive(coroutine)
        except SimulationStalledError as error:
            raise stalled(error) from error

    def teardown(self) -> None:
        """Heal everything, and require what every pool owes by then."""
        try:
            if self._opened:
                self._end()
        finally:
            super().teardown()

    def _end(self) -> None:
        failing = self.failing
        try:
            if not failing:
                self.drive(self._give_back(self._held))
                self.drive(self.judge.require_recovery(2 * self.size))
        finally:
            in_time = self.drive(self._closed())
        if not failing and not in_time:
            raise broken("shutdown-hang")("everything is healed, and the shutdown does not end")

    async def _closed(self) -> bool:
        try:
            return await self.subject.close()
        except asyncio.CancelledError:
            return False

    async def _give_back(self, leases: list[Any]) -> None:
        for lease in list(leases):
            self._held.remove(lease)
            await self.subject.checkin(lease)
        if not self._held:
            self.model.lasting.discard("lent")


def pool_state_machine(
    target: str | Callable[[], Subject], *, layer: str = "mock", workers: int = 2, **settings: Any
) -> type[PoolMachine]:
    """Return the state machine of a pool; its `TestCase` is the test.

    Args:
        target: `stack` for our own stack on `layer`; anything that `poolproof check` takes, as a
            string; or a function that returns a `Subject`.
        layer: for our own stack: mock, bridge_mock or full.
        workers: how many workers it starts with.
        settings: for our own stack: settings of the pool.

    Raises:
        UsageError: there is no such layer.

    Example:
        >>> TestPool = pool_state_machine("mypackage.pools:make_pool").TestCase
    """
    if isinstance(target, str) and target != "stack":
        from poolproof.stateful.targets import target_machine  # noqa: PLC0415 - it needs a host

        return target_machine(target, workers)
    if isinstance(target, str):
        name, make = f"stack_{layer}", _stack(layer, workers, settings)
    else:
        name, make = getattr(target, "__name__", "pool"), target
    return machine_of(
        name, PoolMachine, make=staticmethod(make), size=workers, simulated=make().simulated
    )


def machine_of(name: str, base: type[PoolMachine], **members: Any) -> type[PoolMachine]:
    """Return a subclass whose name tells its pool."""
    words = re.split(r"[^A-Za-z0-9]+", name)
    title = "".join(word[:1].upper() + word[1:] for word in words)
    return type(f"{title}Machine", (base,), {"__module__": __name__, **members})


def _stack(layer: str, workers: int, settings: dict[str, Any]) -> Callable[[], Subject]:
    from poolproof.stateful.stack_subject import StackSubject  # noqa: PLC0415 - only who asks for it pays

    for known in LAYERS:
        if known == layer:
            return lambda: StackSubject(known, workers, **settings)
    raise UsageError(f"layer: expected one of {', '.join(LAYERS)}, got {layer!r}")
