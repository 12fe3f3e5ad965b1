"""What a target says about itself: jobs of its own kind, promises, and a contract.

A promise is held to; a contract quotes what the pool documents, so that it is no violation.
Standard library only.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final, cast

from poolproof.adapters.base import TargetProblem
from poolproof.agent.naming import Factory

INVARIANTS: Final = (
    *("unresolved-job", "wrong-result", "phantom-result", "two-outcomes", "duplicate-run"),
    *("no-recovery", "shutdown-hang", "leak", "orphan", "starvation"),
)
_Promise = tuple[str, Callable[[Any], bool]]
_FLAG: Final[_Promise] = ("True or False", lambda value: isinstance(value, bool))
_COUNT: Final[_Promise] = (
    "a number from 0 on",
    lambda value: _is_number(value, int) and value >= 0,
)
_SECONDS: Final[_Promise] = (
    "seconds above 0",
    lambda value: _is_number(value, int, float) and value > 0,
)
PROMISES: Final[Mapping[str, _Promise]] = {
    "at-most-once": _FLAG,
    "exactly-once": _FLAG,
    "exclusive": _FLAG,
    "fenced": _FLAG,
    "cancel-final": _FLAG,
    "retries": _COUNT,
    "order": ("'fifo'", lambda value: value == "fifo"),
    "recovery": _SECONDS,
    "deadline": _SECONDS,
    "capacity": _SECONDS,
    "queue": _COUNT,
    "shedding": _SECONDS,
    "work-conserving": _SECONDS,
}
SAMPLES: Final = {
    "promises": 'promises = {"at-most-once": True}',
    "contract": 'contract = {"no-recovery": "what its manual says"}',
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnJob:
    """A job that only this pool's workers understand: `submit(*arguments)`, and its answer."""

    arguments: tuple[Any, ...]
    expected: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """All that a target declares.

    Attributes:
        jobs: jobs of its own kind; empty means that it runs any function.
        promises: name (one of `PROMISES`) -> value.
        contract: invariant (one of `INVARIANTS`) -> quote.
    """

    jobs: tuple[OwnJob, ...]
    promises: Mapping[str, Any]
    contract: Mapping[str, str]


def declared(factory: Factory, pool: object = None) -> Declared:
    """Return what the factory's module, the factory and the pool declare; the later wins.

    Raises:
        TargetProblem: a declaration that poolproof does not understand.
    """
    promises = _gather(factory, pool, "promises")
    for name, value in promises.items():
        _check_promise(name, value, factory.name)
    contract = _gather(factory, pool, "contract")
    for name, value in contract.items():
        _check_contract(name, value, factory.name)
    return Declared(jobs=_jobs(factory), promises=promises, contract=contract)


def _gather(factory: Factory, pool: object, name: str) -> dict[str, Any]:
    gathered: dict[str, Any] = {}
    for holder in (factory.module, factory.function, pool):
        found = _attribute(holder, name)
        if found is None:
            continue
        if not isinstance(found, Mapping):
            raise TargetProblem(
                f"expected {name} of {factory.name} to be a mapping, got {type(found).__name__}; "
                f"write for instance {SAMPLES[name]}"
            )
        gathered |= cast("Mapping[str, Any]", found)
    return gathered


def _attribute(holder: object, name: str) -> object:
    """Return what is declared under that name.

    Other people use these words for other things: a submodule, a method, a property of a class.
    """
    try:
        found = getattr(holder, name, None)
    except Exception:  # noqa: BLE001 - a stranger's property may raise anything
        return None
    return None if callable(found) or isinstance(found, ModuleType | property) else found


def _check_promise(name: str, value: object, target: str) -> None:
    if name not in PROMISES:
        raise TargetProblem(
            f"expected promises among {', '.join(PROMISES)}, "
            f"got {name!r} in {target}{_close(name, PROMISES)}"
        )
    wanted, fits = PROMISES[name]
    if not fits(value):
        raise TargetProblem(
            f"expected the promise {name!r} to be {wanted}, got {value!r} in {target}"
        )


def _check_contract(name: str, quote: object, target: str) -> None:
    if name not in INVARIANTS:
        raise TargetProblem(
            f"expected a contract on one of {', '.join(INVARIANTS)}, "
            f"got {name!r} in {target}{_close(name, INVARIANTS)}"
        )
    if not isinstance(quote, str) or not quote.strip():
        raise TargetProblem(
            f"expected the contract on {name!r} to quote what the pool documents, "
            f"got {quote!r} in {target}"
        )


def _jobs(factory: Factory) -> tuple[OwnJob, ...]:
    found: Any = _attribute(factory.module, "jobs")
    if found is None:
        return ()
    wanted = f"jobs of {factory.name} to be a list of (arguments, expected) pairs"
    if not _is_list(found):
        raise TargetProblem(f"expected {wanted}, got {type(found).__name__}")
    if not found:
        raise TargetProblem(f"expected {wanted}, got none; leave it out if any function will do")
    return tuple(_job(at, pair, factory.name) for at, pair in enumerate(found))


def _is_list(found: object) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, str | bytes)


def _job(at: int, pair: Any, target: str) -> OwnJob:
    if not _is_list(pair) or len(pair) != len(("arguments", "expected")):
        raise TargetProblem(
            f"expected jobs[{at}] to be a pair (arguments, expected), got {pair!r} in {target}"
        )
    given, expected = pair
    if given == ():
        raise TargetProblem(f"expected jobs[{at}] to have an argument, got () in {target}")
    return OwnJob(arguments=given if _is_tuple(given) else (given,), expected=expected)


def _is_tuple(given: object) -> bool:
    return isinstance(given, tuple)


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _close(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
