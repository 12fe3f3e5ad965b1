"""A tree that heals itself: kill a worker, see it come back, and see it die too often.

Run it: python docs/examples/supervision_tree.py
"""

# ruff: noqa: INP001, T201 -- a program, not a package, and printing is what it is for

import asyncio

from poolproof.supervision import (
    KILL,
    ChildSpec,
    SupervisorSpec,
    TreeEvent,
    monitor,
    start_supervisor,
)


async def worker() -> None:
    """Wait for work that never comes."""
    await asyncio.Event().wait()


def show(event: TreeEvent) -> None:
    """Print one event of the tree."""
    who = event.offender.id if event.offender else "itself"
    why = f" ({event.reason})" if event.reason else ""
    print(f"{'/'.join(event.supervisor):10} {event.name:17} {who}{why}")


async def main() -> None:
    """Start a supervisor with two workers, and kill one of them three times."""
    tree = SupervisorSpec(
        strategy="rest_for_one",
        max_restarts=2,
        max_seconds=5,
        children=[ChildSpec(id="registry", start=worker), ChildSpec(id="pool", start=worker)],
    )
    supervisor = await start_supervisor(tree, name="app", sink=show)
    for _ in range(3):
        registry = (await supervisor.which_children())[-1].process
        assert registry is not None
        print("--- kill the registry")
        registry.exit(KILL)
        await monitor(registry)
        await asyncio.sleep(0)
    print("--- the supervisor:", (await monitor(supervisor)).reason)


if __name__ == "__main__":
    asyncio.run(main())
