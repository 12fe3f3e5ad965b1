"""Waiting for facts, never for time: conditions, barriers, orders and events, each with a bound.

A wait that runs out of time says what was last seen, who waited, and since when. All times are
those of the running loop's clock, so everything here works in virtual time too.
"""

from poolproof.sync.barrier import Barrier, Sequencer
from poolproof.sync.condition import wait_all_tasks_blocked, wait_for
from poolproof.sync.events import EventCoordinator, Mark
from poolproof.sync.together import Outcome, synchronize
from poolproof.sync.waiter import SyncTimeoutError, Waiter

__all__ = [
    "Barrier",
    "EventCoordinator",
    "Mark",
    "Outcome",
    "Sequencer",
    "SyncTimeoutError",
    "Waiter",
    "synchronize",
    "wait_all_tasks_blocked",
    "wait_for",
]
