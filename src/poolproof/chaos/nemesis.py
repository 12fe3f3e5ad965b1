"""The only thing that applies faults: it journals them, injects, asks for a receipt, heals, verifies the heal."""

import asyncio
import dataclasses
import inspect
import time
from collections.abc import Sequence

from poolproof.chaos.rig import Rig
from poolproof.faults.base import Evidence, Fault, Inject, lookup
from poolproof.plan import FaultSpec
from poolproof.watch import procfs
from poolproof.watch.procfs import Identity

RECEIPT_SECONDS = 1.0


@dataclasses.dataclass(slots=True)
class Applied:
    """One fault of the plan while it lasts."""

    number: int
    spec: FaultSpec
    fault: Fault
    victims: Sequence[Identity] = ()
    received: bool = False


class Nemesis:
    """Applies the faults of one plan, or those that are named, to one rig."""

    def __init__(self, rig: Rig, applied: Sequence[Applied] | None = None) -> None:
        self._rig = rig
        self.applied = applied or [
            Applied(i, spec, lookup(spec.kind)) for i, spec in enumerate(rig.plan.faults)
        ]

    async def inject(self, receipt_seconds: float | None = None) -> None:
        """Apply every fault of the plan, and wait a bounded time for the receipts; 0 where they come only later."""
        for applied in self.applied:
            applied.victims = applied.fault.victims(self._rig, applied.spec)
            named = [
                {"pid": who.pid, "born": who.born, "handles": procfs.handled_signals(who.pid)}
                for who in applied.victims
            ]
            data = {"fault": applied.number, "kind": applied.spec.kind, "victims": named}
            self._rig.trial.write("inject", data=data)
            if not self._rig.plan.null:
                await self._do(applied.fault.inject, applied)
        await self.receive(RECEIPT_SECONDS if receipt_seconds is None else receipt_seconds)

    async def receive_late(self) -> None:
        """Look for what is missing still when all is over: a caller may hear of a process's end before it has ended."""
        self._rig.absorb()
        due = [
            applied
            for applied in self.applied
            if not applied.received and applied.fault.moot(self._rig.events) is None
        ]
        await self.receive(RECEIPT_SECONDS if due and not self._rig.plan.null else 0.0)

    async def receive(self, seconds: float) -> None:
        """Look for the receipts that are missing still, for at most so long."""
        deadline = time.monotonic() + seconds
        while True:
            self._rig.absorb()
            for applied in self.applied:
                if not applied.received:
                    applied.received = self._witness("receipt", applied.fault.receipt, applied)
            if all(applied.received for applied in self.applied) or time.monotonic() >= deadline:
                return
            await asyncio.sleep(0.001)

    async def heal(self) -> None:
        """Undo every fault, and verify that it is undone."""
        for applied in self.applied:
            self._rig.trial.write("heal", data={"fault": applied.number})
            await self._do(applied.fault.heal, applied)
        deadline = time.monotonic() + RECEIPT_SECONDS
        open_heals = list(self.applied)
        while open_heals and time.monotonic() < deadline:
            open_heals = [a for a in open_heals if not self._witness("healed", a.fault.healed, a)]
            await asyncio.sleep(0.001 if open_heals else 0)

    async def _do(self, act: Inject, applied: Applied) -> None:
        pending = act(self._rig, applied.spec, applied.victims)
        if inspect.isawaitable(pending):
            await pending

    def _witness(self, kind: str, evidence: Evidence, applied: Applied) -> bool:
        try:
            text = evidence(self._rig, applied.spec, applied.victims)
        except (
            ProcessLookupError
        ):  # nothing is left to heal; but who else may have ended it, nobody knows
            text = "its process is gone" if kind == "healed" else None
        if text is not None:
            self._rig.trial.write(kind, data={"fault": applied.number, "evidence": text})
        return text is not None
