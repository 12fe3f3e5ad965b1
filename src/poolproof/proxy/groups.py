"""Many proxies between named parties: groups cut off from each other, and the swizzle."""

import asyncio
import random
from collections.abc import Iterable, Mapping

from poolproof.errors import UsageError
from poolproof.proxy.proxy import Proxy


class Groups:
    """The proxies between parties, by (client, server).

    Args:
        proxies: all that lie between them.
    """

    def __init__(self, proxies: Mapping[tuple[str, str], Proxy]) -> None:
        self._proxies = dict(proxies)

    def partition(self, *groups: Iterable[str]) -> list[tuple[str, str]]:
        """Hold whatever the groups say to each other; return between whom.

        Raises:
            UsageError: a party is in two groups, or none of the groups talk to each other.
        """
        of: dict[str, int] = {}
        for number, group in enumerate(groups):
            for party in group:
                if of.setdefault(party, number) != number:
                    raise UsageError(f"expected each party in one group, got {party!r} in two")
        across = [
            (client, server)
            for client, server in self._proxies
            if client in of and server in of and of[client] != of[server]
        ]
        if not across:
            raise UsageError(
                f"expected groups with a proxy between them, got {sorted(of)}; "
                f"proxies are between {sorted(self._proxies)}"
            )
        for pair in across:
            self._proxies[pair].hold()
        return across

    async def swizzle(self, rng: random.Random, *, seconds: float = 1.0) -> list[tuple[str, str]]:
        """Clog some, one after the other, then let them go in another order (FoundationDB's swizzle-clogging).

        Args:
            rng: chooses whom and when.
            seconds: at most so long between two steps.

        Returns:
            Between whom, in the order of clogging: at least one pair.
        """
        pairs = sorted(self._proxies)
        chosen = rng.sample(pairs, rng.randint(1, len(pairs)))
        for pair in chosen:
            self._proxies[pair].hold()
            await asyncio.sleep(rng.uniform(0, seconds))
        for pair in rng.sample(chosen, len(chosen)):
            self._proxies[pair].release()
            await asyncio.sleep(rng.uniform(0, seconds))
        return chosen

    async def heal(self) -> None:
        """Heal every proxy."""
        for proxy in self._proxies.values():
            await proxy.heal()

    async def healed(self) -> str | None:
        """Return the evidence that each harms nothing any more; None if one does."""
        told = [await proxy.healed() for proxy in self._proxies.values()]
        return f"{len(told)} proxies: {told[0]}" if told and None not in told else None
