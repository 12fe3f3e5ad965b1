"""What can be broken, as data: each fault, how it is done, what proves that it was, and how it is undone."""

from poolproof.faults import (
    asynchrony,
    lifecycle,
    process,
    resource,
    scheduling,
    syscalls,
    workload,
)
from poolproof.faults.base import FAULTS, Fault, Scene, lookup

__all__ = [
    "FAULTS",
    "Fault",
    "Scene",
    "asynchrony",
    "lifecycle",
    "lookup",
    "process",
    "resource",
    "scheduling",
    "syscalls",
    "workload",
]
