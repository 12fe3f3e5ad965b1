"""A result as annotations of GitHub Actions: lines on standard output that it shows beside the code.

The form is that of https://docs.github.com/actions/reference/workflow-commands-for-github-actions.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Final

from poolproof.chaos.result import Entry, Result

MOST: Final = 10
"""GitHub shows ten errors of one step; the last of ours says how many more there are."""


def wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether this runs in GitHub Actions."""
    return environment.get("GITHUB_ACTIONS") == "true"


def lines(result: Result) -> Iterator[str]:
    """Yield an error for each broken promise that is not accepted, and a warning where nothing could be told."""
    broken = [entry for entry in result.checks if entry.verdict == "invalid" and not entry.accepted]
    shown = broken if len(broken) <= MOST else broken[: MOST - 1]
    for entry in shown:
        yield _line("error", entry, result)
    if len(shown) < len(broken):
        rest = ", ".join(f"{entry.invariant} under {entry.fault}" for entry in broken[len(shown) :])
        yield f"::error title={_property('poolproof')}::{_data(f'and {len(broken) - len(shown)} more: {rest}')}"
    unknown = [entry for entry in result.checks if entry.verdict == "unknown"]
    for entry in unknown[:MOST]:
        yield _line("warning", entry, result)


def _line(level: str, entry: Entry, result: Result) -> str:
    title = f"poolproof: {entry.invariant} under {entry.fault}"
    text = [f"{result.target}: {entry.reason}", *entry.evidence[:2]]
    text += [f"replay: {entry.replay}"] if entry.replay else []
    fields = {**_place(entry, result), "title": title}
    said = ",".join(f"{name}={_property(value)}" for name, value in fields.items())
    return f"::{level} {said}::{_data(chr(10).join(text))}"


def _place(entry: Entry, result: Result) -> dict[str, str]:
    """Return the file to show it at, where it is one of the checked project: the crash point's, or the target's."""
    root = PurePath(str(result.environment.get("cwd", "")))
    target = result.target.rpartition(":")[0]
    if target.endswith(".py") and PurePath(target).is_relative_to(root):
        place = {"file": str(PurePath(target).relative_to(root))}
        file, _, line = (
            entry.crash_points[0].rpartition(":") if entry.crash_points else ("", "", "")
        )
        same = file == PurePath(target).name
        return {**place, "line": line.split("-")[0]} if same else place
    return {}


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
