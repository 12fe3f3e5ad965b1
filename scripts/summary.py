"""Say in one line what came of a run of pytest, from its JUnit files, and in one of each layer."""

import argparse
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

NO_TESTS: Final = 5


def outcome(case: ET.Element) -> str:
    """Return what one test came to: passed, failed or skipped; an expected failure is skipped."""
    kinds = {child.tag for child in case}
    if kinds & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in kinds else "passed"


def layer(case: ET.Element) -> str | None:
    """Return the layer that the plugin noted for a test, or None."""
    found = case.find("properties/property[@name='layer']")
    return None if found is None else found.get("value")


def count(cases: Iterable[ET.Element]) -> str:
    """Return the outcomes of the tests, counted, or that there are none."""
    outcomes = Counter(map(outcome, cases))
    if not outcomes:
        return "no tests"
    return ", ".join(f"{outcomes[kind]} {kind}" for kind in ("passed", "failed", "skipped"))


def read(files: Iterable[Path]) -> list[ET.Element]:
    """Return the tests in those files that exist: pytest that was misused writes none."""
    trees = (ET.parse(file) for file in files if file.exists())  # noqa: S314 - pytest wrote them
    return [case for tree in trees for case in tree.iter("testcase")]


def remark(cases: list[ET.Element], status: int) -> str:
    """Return what must be said beside the counts for nobody to take this run for a pass."""
    if status == NO_TESTS or (status == 0 and not cases):
        return ": nothing was proven"
    return f": exit {status}" if status else ""


def summary(name: str, cases: list[ET.Element], *, layers: list[str], status: int) -> list[str]:
    """Return a line for each layer, and the line of the whole run."""
    lines = [
        f"{name}, layer {wanted}: {count(case for case in cases if layer(case) == wanted)}"
        for wanted in layers
    ]
    return [*lines, f"{name}: {count(cases)}{remark(cases, status)}"]


def main() -> None:
    """Print the summary of the run that the arguments describe."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--exit", type=int, default=0, dest="status", help="pytest's exit code")
    parser.add_argument("--began", type=float, required=True, help="seconds since the epoch")
    parser.add_argument("--layers", nargs="*", default=[])
    parser.add_argument("--also", default="", help="what else is to be said in the last line")
    given = parser.parse_intermixed_args()
    lines = summary(given.name, read(given.files), layers=given.layers, status=given.status)
    lines[-1] += f"{given.also} in {time.time() - given.began:.1f} s"
    print("\n".join(lines))


if __name__ == "__main__":
    main()
