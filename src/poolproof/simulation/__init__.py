"""Simulation: an asyncio loop in virtual time, whose order of task steps a seed decides.

Nothing waits, the clock jumps to the next timer, in whole nanoseconds. See docs/simulation.md.
"""

from poolproof.simulation.chance import buggify
from poolproof.simulation.claims import ClaimError, always, reachable, sometimes
from poolproof.simulation.loop import SimulationLoop
from poolproof.simulation.network import Link, Network
from poolproof.simulation.playing import (
    NotRepeatableError,
    Played,
    advance,
    current,
    play,
    repeat,
    run,
    token,
)
from poolproof.simulation.refusal import RealWorldError
from poolproof.simulation.schedule import POLICIES, Deviation, Schedule, from_json, to_json
from poolproof.simulation.stall import (
    DeadlockError,
    LivelockError,
    Pending,
    SimulationStalledError,
    TimeLimitError,
)

__all__ = [
    "POLICIES",
    "ClaimError",
    "DeadlockError",
    "Deviation",
    "Link",
    "LivelockError",
    "Network",
    "NotRepeatableError",
    "Pending",
    "Played",
    "RealWorldError",
    "Schedule",
    "SimulationLoop",
    "SimulationStalledError",
    "TimeLimitError",
    "advance",
    "always",
    "buggify",
    "current",
    "from_json",
    "play",
    "reachable",
    "repeat",
    "run",
    "sometimes",
    "to_json",
    "token",
]
