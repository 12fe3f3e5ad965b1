"""What a recorded run says: each test's outcome, times, leaks and waits, read back from the recorder's lines.

The lines are read as far as they were written: a run that was killed tells what is known, and which tests it died in.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.errors import UsageError

BAD: Final = frozenset({"failed", "error", "crashed"})
"""The outcomes of a test that did not pass."""
ABSENT: Final = frozenset({"skipped", "xfailed"})
"""The outcomes of a test of which nothing was asked."""


class Leak(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a test left behind, as the guard tells it.

    Attributes:
        borne: whether it is pinned, or the suite's policy lets it pass.
    """

    resource: str
    borne: bool = False
    what: str = ""
    where: str = ""
    owner: str = ""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One test in one run.

    Attributes:
        outcome: passed, failed (in the call), error (in set-up or teardown), skipped, xfailed, xpassed, crashed; or
            rerun, of an attempt that another one followed.
        seconds: the duration of each phase.
        leaks: what the guard has found; None if no guard has looked, which proves nothing.
        waited: seconds that it was held up by the locks of other tests.
        released: how many resources its sandbox let go of...
        verified: ...and how many of these proved that they are gone.
        reruns: how often a plugin ran it again because it had failed.
    """

    test: str
    worker: str = "main"
    outcome: str = "passed"
    at: float = 0.0
    seconds: Mapping[str, float] = {}
    message: str = ""
    text: str = ""
    markers: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    leaks: tuple[Leak, ...] | None = None
    waited: float = 0.0
    released: int = 0
    verified: int = 0
    reruns: int = 0

    @property
    def bad(self) -> bool:
        """Whether it did not pass."""
        return self.outcome in BAD

    @property
    def call_seconds(self) -> float:
        """How long the test itself took, without fixtures, and without waiting for others' locks."""
        return max(0.0, self.seconds.get("call", 0.0) - self.waited)


class Warned(msgspec.Struct, frozen=True, kw_only=True):
    """A warning about something unclosed, unawaited, or never looked at."""

    test: str
    category: str
    text: str
    where: str = ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a suite.

    Attributes:
        tests: what ran, by its name, in the order in which each ended.
        collected: the names of all that were to run.
        workers: how many processes ran it; 0 for one, without xdist.
        exit: pytest's exit code; None if it never came to its end.
    """

    tests: Mapping[str, Case] = {}
    collected: tuple[str, ...] = ()
    workers: int = 0
    warnings: tuple[Warned, ...] = ()
    exit: int | None = None
    seconds: float = 0.0

    @property
    def lost(self) -> tuple[str, ...]:
        """The tests that were collected and of which nothing more was heard."""
        return tuple(test for test in self.collected if test not in self.tests)

    def before(self, test: str) -> tuple[str, ...]:
        """Return what the same worker had run before `test`, in that order."""
        worker = self.tests[test].worker
        mine = sorted((t for t in self.tests.values() if t.worker == worker), key=lambda t: t.at)
        names = [each.test for each in mine]
        return tuple(names[: names.index(test)])


def read(path: Path) -> Record:
    """Read what was recorded.

    Raises:
        UsageError: there is no such file, or it is no recording.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise UsageError(
            f"expected a file that --poolproof-record has written, got {path}: {error}"
        ) from error
    record = gather(_decoded(lines))
    if record is None:
        raise UsageError(
            f"expected a file that --poolproof-record has written, got {path}, which has no session in it"
        )
    return record


def ended(record: Record, *, exit: int | None, seconds: float) -> Record:  # noqa: A002 - as in the record
    """Return the record with how its process ended, and when."""
    return msgspec.structs.replace(record, exit=exit, seconds=seconds)


def _decoded(lines: list[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            found = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # torn by whatever ended the run
        if isinstance(found, dict):
            yield found


def gather(lines: Iterator[dict[str, Any]]) -> Record | None:
    """Return the run that these lines tell of; None if they tell of none."""
    began: dict[str, Any] | None = None
    ended: dict[str, Any] = {}
    tests: dict[str, Case] = {}
    started: dict[str, float] = {}
    collected: dict[str, None] = {}
    warned: list[Warned] = []
    for line in lines:
        match line.get("kind"):
            case "session":
                began = line
            case "collected":
                collected.update(dict.fromkeys(line["tests"]))
            case "start":
                started[line["test"]] = line["at"]
            case "test":
                tests[line["test"]] = _merged(msgspec.convert(line, Case), tests.get(line["test"]))
            case "warning":
                warned.append(msgspec.convert(line, Warned))
            case "end":
                ended = line
            case _:
                pass  # of a later version
    if began is None:
        return None
    tests.update(_died(started, tests))
    return Record(
        tests=tests,
        collected=tuple(collected),
        workers=began["workers"],
        warnings=tuple(warned),
        exit=ended.get("exit"),
        seconds=ended.get("seconds", 0.0),
    )


def _merged(new: Case, old: Case | None) -> Case:
    """Return what stands of two lines about one test: what is bad, else the later one; reruns add up."""
    if old is None:
        return new
    stands = old if old.bad and not new.bad else new
    return msgspec.structs.replace(stands, reruns=old.reruns + new.reruns)


def _died(started: Mapping[str, float], tests: Mapping[str, Case]) -> Iterator[tuple[str, Case]]:
    """Yield the tests that began and never ended: their process was gone."""
    for test, at in started.items():
        if test not in tests:
            message = "its process ended in the middle of it"
            yield test, Case(test=test, outcome="crashed", at=at, message=message)
