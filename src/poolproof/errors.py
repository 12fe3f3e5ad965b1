"""The errors that poolproof raises, each saying whose fault it is and which exit code it means."""

from typing import ClassVar


class PoolproofError(Exception):
    """The base of every error that poolproof raises on purpose; exit code 4 unless a subclass says otherwise."""

    exit_code: ClassVar[int] = 4


class UsageError(PoolproofError):
    """The request cannot be carried out as written: what was expected, what was got, what to do."""

    exit_code: ClassVar[int] = 2


class TargetError(PoolproofError):
    """The target could not be found, built, recognised or started."""

    exit_code: ClassVar[int] = 2
