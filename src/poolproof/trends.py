"""How a suite goes from run to run, in a small SQLite file: slowest tests, growing ones, flaky ones, coverage."""

import contextlib
import math
import sqlite3
import statistics
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from poolproof.errors import UsageError
from poolproof.isolation.runs.records import ABSENT, BAD, Record

DATABASE: Final = Path(".poolproof", "trends.sqlite")
VERSION: Final = 1
MOST_RUNS: Final = 200
"""How many runs are kept; the oldest go."""
LOOKED_AT: Final = 30
"""How many of the last runs of a test are looked at."""
LEAST_RUNS: Final = 8
GROWTH: Final = 0.2
"""What is told as growth: a fifth from the first to the last of these runs, and a trend that chance hardly makes."""
SIGMAS: Final = 3.0

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS runs
    (id INTEGER PRIMARY KEY, at REAL, seconds REAL, tests INTEGER, bad INTEGER, coverage REAL);
CREATE TABLE IF NOT EXISTS cases (run INTEGER, test TEXT, outcome TEXT, seconds REAL, reruns INTEGER);
CREATE INDEX IF NOT EXISTS by_test ON cases (test, run);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """A test that takes longer from run to run; `factor` is the last over the first, on the line through all."""

    test: str
    runs: int
    seconds: float
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaky:
    """A test that has passed and not passed: so often of so many runs; or that had to be run again."""

    test: str
    runs: int
    bad: int
    reruns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run: when it was added (seconds since 1970), how long it took, and its share of covered lines, if known."""

    at: float
    seconds: float
    tests: int
    bad: int
    coverage: float | None


class Trends:
    """The file of runs; use as a context manager's value, from `opened`."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(
        self, record: Record, *, coverage: float | None = None, at: float | None = None
    ) -> None:
        """Add one run; the oldest goes if there are too many."""
        ran = [case for case in record.tests.values() if case.outcome not in ABSENT]
        bad = sum(case.bad for case in ran)
        when = time.time() if at is None else at
        row = (when, record.seconds, len(ran), bad, coverage)
        cursor = self._database.execute(
            "INSERT INTO runs (at, seconds, tests, bad, coverage) VALUES (?, ?, ?, ?, ?)", row
        )
        cases = [(cursor.lastrowid, c.test, c.outcome, c.call_seconds, c.reruns) for c in ran]
        self._database.executemany("INSERT INTO cases VALUES (?, ?, ?, ?, ?)", cases)
        self._forget()

    def _forget(self) -> None:
        keep = f"SELECT id FROM runs ORDER BY id DESC LIMIT {MOST_RUNS}"  # noqa: S608 - a number of ours
        self._database.execute(f"DELETE FROM runs WHERE id NOT IN ({keep})")  # noqa: S608
        self._database.execute("DELETE FROM cases WHERE run NOT IN (SELECT id FROM runs)")

    def runs(self) -> list[Run]:
        """Return all runs, the oldest first."""
        rows = self._query("SELECT at, seconds, tests, bad, coverage FROM runs ORDER BY id")
        return [Run(at=a, seconds=s, tests=t, bad=b, coverage=c) for a, s, t, b, c in rows]

    def slowest(self, count: int) -> list[tuple[str, float]]:
        """Return the slowest tests of the last run, with the median seconds of their last runs."""
        last = "SELECT test FROM cases WHERE run = (SELECT max(id) FROM runs)"
        medians = [(test, statistics.median(self._times(test))) for (test,) in self._query(last)]
        return sorted(medians, key=lambda found: -found[1])[:count]

    def growing(self) -> list[Growing]:
        """Return the tests whose time grows, the most first."""
        often = "SELECT test FROM cases WHERE outcome = 'passed' GROUP BY test HAVING count(*) >= ?"
        found = (_growing(test, self._times(test)) for (test,) in self._query(often, LEAST_RUNS))
        return sorted(filter(None, found), key=lambda one: -one.factor)

    def flaky(self) -> list[Flaky]:
        """Return the tests that changed their mind in the last runs, the most often bad first."""
        rows = self._query(
            "SELECT test, count(*), sum(outcome IN (SELECT value FROM json_each(?))), sum(reruns) FROM cases"
            " WHERE run IN (SELECT id FROM runs ORDER BY id DESC LIMIT ?) GROUP BY test",
            msgspec.json.encode(sorted(BAD)).decode(),
            LOOKED_AT,
        )
        found = [Flaky(test=t, runs=n, bad=bad, reruns=reruns) for t, n, bad, reruns in rows]
        unsure = [one for one in found if 0 < one.bad < one.runs or one.reruns]
        return sorted(unsure, key=lambda one: (-one.bad / one.runs, one.test))

    def _times(self, test: str) -> list[float]:
        rows = self._query(
            "SELECT seconds FROM cases WHERE test = ? ORDER BY run DESC LIMIT ?", test, LOOKED_AT
        )
        return [seconds for (seconds,) in reversed(rows)]

    def _query(self, sql: str, *values: Any) -> list[Any]:
        return self._database.execute(sql, values).fetchall()


@contextlib.contextmanager
def opened(path: Path = DATABASE) -> Generator[Trends]:
    """Open the file, made if it is not there; what was added is kept if the block ends well.

    Raises:
        UsageError: it is no such file, or one of another version.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    database = sqlite3.connect(path, timeout=10.0)
    try:
        try:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise UsageError(f"expected trends of version {VERSION} in {path}, got {version}")
            database.executescript(f"{_TABLES} PRAGMA user_version = {VERSION};")
        except sqlite3.DatabaseError as error:
            raise UsageError(
                f"expected a file of `poolproof trends`, got {path}: {error}"
            ) from error
        with database:
            yield Trends(database)
    finally:
        database.close()


def _growing(test: str, times: Sequence[float]) -> Growing | None:
    slope = _slope(times)
    middle = statistics.median(times)
    first = middle - slope * (len(times) - 1) / 2
    last = first + slope * (len(times) - 1)
    if first <= 0 or last < (1 + GROWTH) * first or mann_kendall(times) < SIGMAS:
        return None
    return Growing(test=test, runs=len(times), seconds=times[-1], factor=last / first)


def _slope(values: Sequence[float]) -> float:
    """Return the median of the slopes between any two (P. K. Sen, 1968): what an outlier does not move."""
    pairs = [(a, b) for b in range(len(values)) for a in range(b)]
    return statistics.median((values[b] - values[a]) / (b - a) for a, b in pairs) if pairs else 0.0


def mann_kendall(values: Sequence[float]) -> float:
    """Return how many standard deviations the values go up more often than chance lets them (H. B. Mann, 1945)."""
    n = len(values)
    ups = sum((values[b] > values[a]) - (values[b] < values[a]) for b in range(n) for a in range(b))
    spread = math.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    return (ups - math.copysign(1, ups)) / spread if ups else 0.0


def coverage_of(path: Path) -> float:
    """Return the share of covered lines, in per cent, of what `coverage json` wrote.

    Raises:
        UsageError: it is no such file.
    """
    try:
        return float(msgspec.json.decode(path.read_bytes())["totals"]["percent_covered"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise UsageError(f"expected what `coverage json` wrote, got {path}: {error!r}") from error
