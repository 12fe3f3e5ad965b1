"""Claims about a program, judged when the whole session is over: `always`, `sometimes`, `reachable`.

A test says that something holds here and now. A claim stands in the program or in a test, and speaks of
all runs of a session: that something never fails, or that it was seen at all. A `sometimes` that
never held means that the tests do not reach what they were written for (after Antithesis).
"""

import ast
import inspect
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Final, Literal

Kind = Literal["always", "sometimes", "reachable"]
_KINDS: Final = ("always", "sometimes", "reachable")


class ClaimError(AssertionError):
    """An `always` did not hold; it counts at the end of the session too, if somebody swallows this."""


@dataclass(slots=True)
class Claim:
    """What is known of one claim.

    Attributes:
        kind: always, sometimes or reachable.
        name: as written, the same for every place that claims it.
        site: file:line of the first place.
        held: how often it was true, or reached.
        failed: how often it was false.
        details: of its first failure.
    """

    kind: str
    name: str
    site: str
    held: int = 0
    failed: int = 0
    details: str = ""

    @property
    def problem(self) -> str | None:
        """What is wrong with it, or None."""
        if self.kind == "always" and self.failed:
            return f"failed {self.failed} of {self.held + self.failed} times{self.details}"
        if self.kind == "sometimes" and not self.held:
            return f"never held in {self.failed} times" if self.failed else "never evaluated"
        return "never reached" if self.kind == "reachable" and not self.held else None

    def __str__(self) -> str:
        return f"{self.kind} {self.name!r} at {self.site}"


class Claims:
    """The claims of a session, by kind and name."""

    def __init__(self) -> None:
        self._claims: dict[tuple[str, str], Claim] = {}

    def note(self, kind: Kind, name: str, *, held: bool, details: dict[str, Any]) -> Claim:
        """Count one evaluation, by the caller's caller."""
        claim = self._claims.get((kind, name))
        if claim is None:
            claim = self._claims[kind, name] = Claim(kind, name, _site(inspect.currentframe()))
        if held:
            claim.held += 1
        else:
            claim.details = claim.details or _shown(details)
            claim.failed += 1
        return claim

    def merge(self, claims: Iterable[dict[str, Any]]) -> None:
        """Add what another process has seen, as `dump` gives it."""
        for other in (Claim(**data) for data in claims):
            mine = self._claims.setdefault(
                (other.kind, other.name), Claim(other.kind, other.name, other.site)
            )
            mine.held += other.held
            mine.failed += other.failed
            mine.details = mine.details or other.details

    def dump(self) -> list[dict[str, Any]]:
        """Return all of them as plain data."""
        return [asdict(claim) for claim in self._claims.values()]

    def unmet(self) -> list[Claim]:
        """Return those with a problem."""
        return [claim for claim in self._claims.values() if claim.problem]

    def __len__(self) -> int:
        return len(self._claims)


CLAIMS: Final = Claims()


def always(condition: object, name: str, **details: object) -> None:
    """Claim that `condition` holds whenever this is evaluated.

    Raises:
        ClaimError: it does not.
    """
    claim = CLAIMS.note("always", name, held=bool(condition), details=details)
    if not condition:
        raise ClaimError(f"{claim} did not hold{_shown(details)}")


def sometimes(condition: object, name: str, **details: object) -> None:
    """Claim that `condition` holds at least once in the session."""
    CLAIMS.note("sometimes", name, held=bool(condition), details=details)


def reachable(name: str) -> None:
    """Claim that this line is run at least once in the session."""
    CLAIMS.note("reachable", name, held=True, details={})


def written(modules: Iterable[ModuleType]) -> Iterator[dict[str, Any]]:
    """Yield the claims that stand in the sources of `modules`, for `Claims.merge`: also those never run.

    Only names that are written out count.
    """
    ours = {id(always), id(sometimes), id(reachable)}
    for module in list(modules):
        file = getattr(module, "__file__", None)
        if (
            file
            and file.endswith(".py")
            and any(id(value) in ours for value in vars(module).values())
        ):
            yield from (asdict(claim) for claim in _written(Path(file)))


def _written(file: Path) -> Iterator[Claim]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        match node:
            case ast.Call(
                func=ast.Name(kind) | ast.Attribute(attr=kind),
                args=[ast.Constant(str(name))] | [_, ast.Constant(str(name))],
            ) if kind in _KINDS:
                yield Claim(kind, name, f"{file}:{node.lineno}")
            case _:
                pass


def _site(frame: FrameType | None) -> str:
    """Return file and line of who called `always` or its like, from the frame of `note`."""
    claimed = frame.f_back if frame else None
    caller = claimed.f_back if claimed else None
    return f"{caller.f_code.co_filename}:{caller.f_lineno}" if caller else "?"


def _shown(details: dict[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in details.items())
