"""What a machine accuses a pool of: one exception class for each promise.

Hypothesis tells bugs apart by the type and the line of their exception. All promises are checked on
one line, so without a class each they would count as one bug, and shrinking would slip between them.
"""

import functools
from typing import ClassVar


class BrokenPromiseError(AssertionError):
    """A pool did what it promises not to do.

    Attributes:
        invariant: the slug of the promise, as in reports: `unresolved-job`, `wrong-result`, ...
    """

    invariant: ClassVar[str] = "any"


@functools.cache
def broken(invariant: str) -> type[BrokenPromiseError]:
    """Return the exception class of a promise, always the same for the same slug.

    Example:
        >>> broken("wrong-result").__name__
        'WrongResultError'
    """
    name = "".join(word.capitalize() for word in invariant.split("-")) + "Error"
    return type(name, (BrokenPromiseError,), {"invariant": invariant, "__module__": __name__})
