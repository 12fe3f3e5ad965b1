"""What a pool owes: at every moment, and once everything is healed."""

from poolproof.simulation import SimulationStalledError
from poolproof.stateful.model import PoolModel
from poolproof.stateful.promises import broken
from poolproof.stateful.subject import Subject


class Judge:
    """Compares a subject with the model of what was asked of it, and raises what is broken."""

    def __init__(self, subject: Subject, model: PoolModel) -> None:
        self.subject, self.model = subject, model

    def look(self) -> None:
        """Learn what is known by now.

        Raises:
            BrokenPromiseError: the model does not allow it.
        """
        for number, outcome in self.subject.outcomes().items():
            self.model.ended(number, outcome)
        self.model.leases = self.subject.lent()
        for slug, text in self.model.broken(self.subject.starts()):
            raise broken(slug)(text)

    async def submit(self) -> int:
        """Ask for a job; return its number."""
        number = self.model.submitted()
        await self.subject.submit(number)
        return number

    async def wait_for(self, jobs: list[int]) -> None:
        """Wait for jobs that nothing stands in the way of, and look.

        Raises:
            BrokenPromiseError: they do not end.
        """
        over = await self.subject.settled(jobs)
        self.look()
        if not over:
            late = sorted(set(jobs) & set(self.model.waiting()))
            raise broken("unresolved-job")(
                f"nothing stands in the way of jobs {late}, and they do not end"
            )

    async def require_recovery(self, fresh: int) -> None:
        """Heal the pool, and require an outcome for every caller, and so many new jobs done.

        Raises:
            BrokenPromiseError: it owes more than it gives.
        """
        await self.subject.heal()
        self.model.healed()
        await self.wait_for(self.model.waiting())
        new = [await self.submit() for _ in range(fresh)]
        await self.wait_for(new)
        for number in new:
            outcome = self.model.jobs[number].outcome
            if outcome is None or outcome.kind != "ok":
                raise broken("no-recovery")(f"job {number}, after everything was healed: {outcome}")


def stalled(error: SimulationStalledError) -> AssertionError:
    """Return what a simulation that can never go on accuses a pool of: it owes a caller an answer."""
    return broken("unresolved-job")(f"nothing can happen any more: {error}")
