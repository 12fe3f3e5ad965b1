"""Known violations that a run may show without failing: each with a reason and a day on which that ends."""

import datetime as dt
import difflib
import tomllib
from pathlib import Path

import msgspec

from poolproof.chaos.result import Entry
from poolproof.checkers import CHECKERS
from poolproof.errors import UsageError
from poolproof.faults import FAULTS

EXAMPLE = """[[accept]]
invariant = "unresolved-job"
fault = "kill-busy"
reason = "python/cpython#66587, no fix in sight"
expires = 2027-01-31"""


class Acceptance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One known violation; `fault` empty covers every fault."""

    invariant: str
    reason: str
    expires: dt.date
    fault: str = ""

    def covers(self, entry: Entry) -> bool:
        """Tell whether this entry is the known violation."""
        return (
            entry.verdict == "invalid"
            and entry.invariant == self.invariant
            and self.fault in ("", entry.fault)
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    accept: tuple[Acceptance, ...]


def load(path: Path, today: dt.date) -> tuple[Acceptance, ...]:
    """Return the acceptances of a TOML file; raise UsageError if it cannot be read or one has expired."""
    try:
        found = msgspec.convert(tomllib.loads(path.read_text()), _File).accept
    # What is no TOML, or no text at all, is a ValueError.
    except (OSError, ValueError, msgspec.ValidationError) as error:
        raise UsageError(
            f"expected a file of accepted violations in {path}, got: {error}; write\n{EXAMPLE}"
        ) from error
    expired = [one for one in found if one.expires < today]
    if expired:
        named = ", ".join(
            f"{one.invariant} {one.fault} ({one.expires})".replace("  ", " ") for one in expired
        )
        raise UsageError(
            f"expected acceptances that are still valid in {path}, got expired ones: {named}; decide anew"
        )
    strange = [name for one in found for name in (one.invariant, one.fault) if not _known(name)]
    if strange:
        near = difflib.get_close_matches(strange[0], [*CHECKERS, *FAULTS], n=1)
        raise UsageError(
            f"expected invariants and faults that check knows in {path}, got {', '.join(strange)}"
            f"{f' (did you mean {near[0]}?)' if near else ''}"
        )
    if any(not one.reason.strip() for one in found):
        raise UsageError(f"expected a reason for each acceptance in {path}, got an empty one")
    return found


def _known(name: str) -> bool:
    return name in ("", "none", *CHECKERS, *FAULTS) or name.startswith("crash-point:")
