"""What a pool may promise beyond no silence, and the check of such a declaration."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from poolproof.checkers.base import CHECKERS
from poolproof.errors import UsageError

Accept = Callable[[object], bool]


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _contract(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    quotes = cast("Mapping[object, object]", value)
    return all(
        invariant in CHECKERS and isinstance(quote, str) and quote.strip()
        for invariant, quote in quotes.items()
    )


PROMISES: Final[dict[str, tuple[str, Accept]]] = {
    "retries": ("an int >= 0: how often a job is run again at most", _count),
    "at-most-once": ("a bool: no job is ever started twice", _flag),
    "exactly-once": ("a bool: an accepted job takes effect once, never twice or not at all", _flag),
    "exclusive": ("a bool: no job is begun while an earlier attempt of it still runs", _flag),
    "fenced": ("a bool: an attempt takes no effect once its job was begun anew", _flag),
    "cancel-final": ("a bool: no job is begun once its cancellation was granted", _flag),
    "order": (
        '"fifo": jobs are begun in the order of their submission',
        lambda value: value == "fifo",
    ),
    "recovery": (
        "a number of seconds > 0: after the heal every job is served within them",
        _seconds,
    ),
    "deadline": ("a number of seconds > 0: after them a job is over, and not begun", _seconds),
    "capacity": ("a number of seconds > 0: within them a lost worker is replaced", _seconds),
    "queue": ("an int >= 0: how many accepted jobs wait to be begun at most", _count),
    "shedding": (
        "a number of seconds > 0: submit accepts or refuses in them, and runs nothing it refused",
        _seconds,
    ),
    "work-conserving": (
        "a number of seconds > 0: no longer does a job wait while a worker is idle",
        _seconds,
    ),
    "contract": ("a mapping from an invariant to the quoted sentence that documents it", _contract),
}
"""What can be promised: its name, its type in words, and the test of a value."""


def check_promises(promises: Mapping[str, object]) -> dict[str, Any]:
    """Return the promises as plain data.

    Raises:
        UsageError: a name is not known or a value has the wrong type; the message lists all that is
            wrong and all that can be promised.
    """
    wrong = [problem for name, value in promises.items() if (problem := _problem(name, value))]
    if wrong:
        known = "; ".join(f"{name}: {kind}" for name, (kind, _) in PROMISES.items())
        raise UsageError(
            f"expected known promises, got {'; '.join(wrong)}. What can be promised: {known}"
        )
    return {name: _plain(value) for name, value in promises.items()}


def _plain(value: object) -> object:
    return dict(cast("Mapping[str, str]", value)) if isinstance(value, Mapping) else value


def _problem(name: str, value: object) -> str | None:
    if name not in PROMISES:
        return f"the unknown name {name!r}"
    kind, accepts = PROMISES[name]
    if accepts(value):
        return None
    invariants = f" (invariants: {', '.join(CHECKERS)})" if name == "contract" else ""
    return f"{name}={value!r}, which is not {kind}{invariants}"
