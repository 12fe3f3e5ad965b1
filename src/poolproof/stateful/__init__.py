"""Property-based state machines: coroutines as rules, and a ready machine for any pool."""

from hypothesis.stateful import Bundle, consumes, multiple, precondition

from poolproof.stateful.machine import AsyncRuleBasedStateMachine, initialize, invariant, rule
from poolproof.stateful.model import JobFacts, Outcome, PoolModel
from poolproof.stateful.pools import PoolMachine, pool_state_machine
from poolproof.stateful.promises import BrokenPromiseError, broken
from poolproof.stateful.subject import Offer, Subject

__all__ = [
    "AsyncRuleBasedStateMachine",
    "BrokenPromiseError",
    "Bundle",
    "JobFacts",
    "Offer",
    "Outcome",
    "PoolMachine",
    "PoolModel",
    "Subject",
    "broken",
    "consumes",
    "initialize",
    "invariant",
    "multiple",
    "pool_state_machine",
    "precondition",
    "rule",
]
