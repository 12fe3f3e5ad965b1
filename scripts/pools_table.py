"""Make one table of what `poolproof check` found in several pools, from their JSON files.

Reads lines of `name TAB exit code TAB path of the JSON file` from standard input. That a pool is
invalid is a finding, not a failure: the exit code is 0 if every pool was judged, else the highest
of poolproof's own (2 not started, 3 unknown, 4 error). With --alike, it is 1 if the lines do not
all name the same broken promises.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

EXIT_OF_VERDICT: Final = {
    "valid": 0,
    "by contract": 0,
    "invalid": 1,
    "unknown": 3,
    "not applicable": 3,
}
JUDGED: Final = (0, 1)
EXIT_ERROR: Final = 4
CLASSES: Final = (
    "survived",
    "reported",
    "lost",
    "stopped",
    "slow",
    "duplicated",
    "unreached",
    "not_tried",
)
HEAD: Final = ("pool", "verdict", "violations", "crash points")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One pool's line of the table, and the exit code that it asks for."""

    cells: tuple[str, str, str, str]
    status: int
    broken: frozenset[str] = frozenset()


def crash_points(found: dict[str, Any]) -> str:
    """Return how the crash points ended.

    Raises:
        ValueError: their classes do not add up to their total.
    """
    counts = {name: int(found[name]) for name in CLASSES}
    if sum(counts.values()) != found["total"]:
        got = sum(counts.values())
        raise ValueError(f"expected crash points that add up to {found['total']}, got {got}")
    words = (f"{number} {name.replace('_', ' ')}" for name, number in counts.items() if number)
    return f"{found['total']}: {', '.join(words)}" if found["total"] else "-"


def is_violation(check: dict[str, Any]) -> bool:
    """Tell whether a promise was broken, and that was not accepted beforehand."""
    return check["verdict"] == "invalid" and not check.get("accepted")


def judged_row(name: str, status: int, report: dict[str, Any]) -> Row:
    """Return the line of a sound report.

    Raises:
        KeyError, TypeError, ValueError: the report is not what `poolproof check --json` writes.
    """
    verdict = report["verdict"]
    if EXIT_OF_VERDICT.get(verdict) != status:
        raise ValueError(f"expected the exit code of {verdict!r}")
    broken = Counter(check["invariant"] for check in report["checks"] if is_violation(check))
    if bool(broken) != (verdict == "invalid"):
        raise ValueError(f"expected violations if, and only if, it is invalid, got {dict(broken)}")
    listed = ", ".join(f"{number} {invariant}" for invariant, number in sorted(broken.items()))
    return Row(
        cells=(name, verdict, listed or "-", crash_points(report["crash_points"])),
        status=0 if status in JUDGED else status,
        broken=frozenset(broken),
    )


def row(name: str, status: int, file: Path) -> Row:
    """Return one pool's line; what has no sound report becomes an error, never a verdict."""
    try:
        return judged_row(name, status, json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        problem = f"no report, exit {status}"
    except (KeyError, TypeError, ValueError) as error:
        problem = f"no sound report, exit {status}: {type(error).__name__}: {error}"
    return Row(cells=(name, problem, "-", "-"), status=EXIT_ERROR if status in JUDGED else status)


def table(rows: Sequence[Row]) -> str:
    """Return the rows as text, in columns as wide as their widest cell."""
    lines = [HEAD, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def read(lines: Iterable[str]) -> list[Row]:
    """Return the rows that lines of name, exit code and path ask for."""
    fields = (line.rstrip("\n").split("\t") for line in lines)
    return [row(name, int(status), Path(file)) for name, status, file in fields]


def main() -> int:
    """Print the table of the pools that standard input names; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alike", action="store_true", help="the broken promises must be the same")
    alike: bool = parser.parse_args().alike
    rows = read(sys.stdin)
    if not rows:
        print("no pools: nothing was checked")
        return EXIT_ERROR
    print(table(rows))
    status = max(row.status for row in rows)
    if not status and alike and len({row.broken for row in rows}) > 1:
        print("expected the same broken promises in every line, got several sets")
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
