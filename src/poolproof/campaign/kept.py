"""What a campaign keeps in its directory, so that it can go on where it was ended, by whatever: a line for each seed.

`campaign.json` what was asked for and what can be done; `cases.jsonl` each seed as it ended; `failures/` of each
distinct failure its plan and history, as found and as cut; `result.json` in the end.
"""

import contextlib
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from poolproof import plan as plans
from poolproof.campaign.tasks import Case, Least, Menu, Sighting
from poolproof.chaos.crashpoints import Effect
from poolproof.errors import UsageError
from poolproof.plan import Plan, Target

HEAD: Final = "campaign.json"
CASES: Final = "cases.jsonl"
FAILURES: Final = "failures"
RESULT: Final = "result.json"
FOUND: Final = "found"
LEAST: Final = "least"
SCHEMA: Final = 1


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a campaign the same campaign.

    Attributes:
        target: as it was asked for.
        menu: what can be done to it.
        faults: the kinds that were asked for.
        effects: what was to happen at crash points.
        null: whether every fault is replaced by nothing.
        schema: the version of this form.
    """

    target: Target
    menu: Menu
    faults: tuple[str, ...]
    effects: tuple[Effect, ...]
    null: bool = False
    schema: int = SCHEMA


class Kept:
    """The directory of a campaign."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def head(self) -> Head | None:
        """Return what an earlier run has begun here, or None.

        Raises:
            UsageError: it was another version, or what is there cannot be read.
        """
        path = self.directory / HEAD
        if not path.exists():
            return None
        try:
            head = msgspec.json.decode(path.read_bytes(), type=Head)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise UsageError(
                f"expected a campaign in {path}, got {error}; give another --out"
            ) from None
        if head.schema != SCHEMA:
            raise UsageError(
                f"expected a campaign of schema {SCHEMA} in {path}, got {head.schema}; give another --out"
            )
        return head

    def begin(self, head: Head) -> None:
        """Keep what the campaign is about; whole, or not at all."""
        _write(self.directory / HEAD, msgspec.json.format(msgspec.json.encode(head)) + b"\n")

    def cases(self) -> Iterator[Case]:
        """Yield what earlier runs have played; a line that was cut off is passed over, its seed is played again."""
        decode = msgspec.json.Decoder(Case).decode
        with contextlib.suppress(FileNotFoundError):
            for line in (self.directory / CASES).read_bytes().splitlines():
                with contextlib.suppress(msgspec.DecodeError):
                    yield decode(line)

    def add(self, case: Case) -> None:
        """Append one case; whoever is killed after this has it. What was cut off before ends with its line."""
        with (self.directory / CASES).open("ab") as file:
            torn = file.tell() and not _ends_whole(self.directory / CASES)
            file.write(b"\n" * bool(torn) + msgspec.json.encode(case) + b"\n")

    def saw(self, sighting: Sighting) -> None:
        """Keep the plan and the history of a failure."""
        place = self._place(sighting.fingerprint)
        plans.save(sighting.plan, place / f"{FOUND}.json")
        _write(place / f"{FOUND}.jsonl", sighting.history.encode())

    def plan(self, fingerprint: str) -> Plan | None:
        """Return the plan with which a failure was found, if it has been kept."""
        path = self._place(fingerprint) / f"{FOUND}.json"
        return plans.load(path) if path.exists() else None

    def cut(self, least: Least) -> None:
        """Keep what is left of a failure's plan, its history, and what is known of it."""
        place = self._place(least.fingerprint)
        plans.save(least.plan, self.plan_path(least.fingerprint))
        _write(place / f"{LEAST}.jsonl", least.history.encode())
        kept = msgspec.structs.replace(least, history="")
        _write(place / "cut.json", msgspec.json.format(msgspec.json.encode(kept)) + b"\n")

    def least(self, fingerprint: str) -> Least | None:
        """Return what is left of a failure's plan, if an earlier run has cut it."""
        path = self._place(fingerprint) / "cut.json"
        return msgspec.json.decode(path.read_bytes(), type=Least) if path.exists() else None

    def plan_path(self, fingerprint: str) -> Path:
        """Return where the plan is that is to be replayed: the smallest."""
        return self._place(fingerprint) / f"{LEAST}.json"

    def found_path(self, fingerprint: str) -> Path:
        """Return where the plan is as it was found."""
        return self._place(fingerprint) / f"{FOUND}.json"

    def _place(self, fingerprint: str) -> Path:
        words = re.sub(r"[^a-z0-9]+", "-", fingerprint.lower()).strip("-")[:80]
        return self.directory / FAILURES / f"{words}-{zlib.crc32(fingerprint.encode()):08x}"


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
