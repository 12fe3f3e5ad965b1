"""What an owner claims outside its private directory, noted before it is made, and how each kind of it is cleared.

A kind is one function in `KINDS`: a service that keeps state for tests (tables, keys) adds its own.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from poolproof.errors import PoolproofError

FILE: Final = "claims"
SHARED_MEMORY: Final = Path("/dev/shm")


class UnknownKindError(PoolproofError):
    """Something was claimed by a kind that is not known in this process, so it cannot be cleared here."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing outside: its kind, and what it is called there."""

    kind: str
    what: str


def remove_path(what: str) -> bool:
    """Remove a file or a directory with all in it; return False if nothing was there."""
    path = Path(what)
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
        return True
    with suppress(FileNotFoundError):
        path.unlink()
        return True
    return False


def remove_shared(what: str) -> bool:
    """Remove the shared memory and the semaphore of exactly this name; return False if there is neither."""
    removed = False
    for name in (what, f"sem.{what}"):
        with suppress(FileNotFoundError):
            (SHARED_MEMORY / name).unlink()
            removed = True
    return removed


# Each clears one thing by the name it was claimed under, and tells whether there was anything.
KINDS: dict[str, Callable[[str], bool]] = {"path": remove_path, "name": remove_shared}


def note(directory: Path, claim: Claim) -> None:
    """Write the claim down in `directory`, before the thing is made."""
    line = json.dumps([claim.kind, claim.what]).encode() + b"\n"
    descriptor = os.open(
        directory / FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def of(directory: str) -> Iterator[Claim]:
    """Yield what is claimed in the directories below a lease's; a line that a kill has torn is passed over.

    Its owner, if it lives, may remove any of it meanwhile: what is gone claims nothing.
    """
    with suppress(OSError):
        for name in sorted(os.listdir(directory)):
            yield from noted(Path(directory, name))


def noted(directory: Path) -> Iterator[Claim]:
    """Yield what is claimed in one directory."""
    with suppress(OSError):
        for line in (directory / FILE).read_bytes().splitlines():
            with suppress(ValueError, TypeError):
                kind, what = json.loads(line)
                if isinstance(kind, str) and isinstance(what, str):
                    yield Claim(kind, what)


def clear(directory: str, spared: set[Claim], prefix: str = "") -> Iterator[str]:
    """Clear what is claimed below a dead owner's directory; yield a line about each thing that was there.

    Args:
        directory: the lease's.
        spared: what somebody who lives claims, too.
        prefix: of each line.

    Raises:
        UnknownKindError: there is a claim that only another process can clear; all others are cleared.
    """
    unknown: list[Claim] = []
    for claim in of(directory):
        if claim in spared:
            continue
        if claim.kind not in KINDS:
            unknown.append(claim)
        elif KINDS[claim.kind](claim.what):
            yield f"{prefix}removed {claim.kind} {claim.what}"
    if unknown:
        raise UnknownKindError(
            f"{prefix}expected claims of kind {', '.join(KINDS)}, got"
            f" {', '.join(f'{claim.kind} {claim.what}' for claim in unknown)}; reap where that kind is known"
        )
