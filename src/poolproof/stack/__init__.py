"""One pool stack in three layers: a supervisor, its base, a pool, and workers that are mocks or real."""

from poolproof.stack.environment import ADAPTERS, Environment, build_test_env
from poolproof.stack.functions import FunctionPool, bridge_mock, full, mock
from poolproof.stack.orchestrator import Orchestrator
from poolproof.stack.tree import Stack, build_supervision_tree, start_stack

__all__ = [
    "ADAPTERS",
    "Environment",
    "FunctionPool",
    "Orchestrator",
    "Stack",
    "bridge_mock",
    "build_supervision_tree",
    "build_test_env",
    "full",
    "mock",
    "start_stack",
]
