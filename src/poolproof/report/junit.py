"""A result as JUnit's XML, which every CI can show: a case for each fault and promise."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from poolproof.chaos.result import Entry, Result

_UNSPEAKABLE: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not."""


def write(result: Result, path: Path) -> None:
    """Write the result to a file, and its directory if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ET.ElementTree(tree(result)).write(path, encoding="utf-8", xml_declaration=True)


def tree(result: Result) -> ET.Element:
    """Return the document: broken is a failure, unknown an error, what does not apply or is accepted skipped."""
    suite = ET.Element("testsuite", name=_clean(f"poolproof check {result.target}"))
    for entry in result.checks:
        _case(suite, result.target, entry)
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("tests", str(len(suite)))
    suite.set("time", f"{result.seconds:.1f}")
    properties = ET.SubElement(suite, "properties")
    for name, value in (("seed", result.seed), ("run", result.run), ("verdict", result.verdict)):
        ET.SubElement(properties, "property", name=name, value=_clean(str(value)))
    whole = ET.Element("testsuites")
    whole.append(suite)
    return whole


def _case(suite: ET.Element, target: str, entry: Entry) -> None:
    name = f"{entry.invariant}: {entry.effect}" if entry.effect else entry.invariant
    case = ET.SubElement(
        suite, "testcase", classname=_clean(f"{target}.{entry.fault}"), name=_clean(name), time="0"
    )
    if entry.accepted:
        ET.SubElement(case, "skipped", message=_clean(f"accepted: {entry.accepted}"))
    elif entry.verdict in ("invalid", "unknown"):
        tag = "failure" if entry.verdict == "invalid" else "error"
        found = ET.SubElement(case, tag, type=entry.verdict, message=_clean(entry.reason))
        found.text = _clean("\n".join(_lines(entry)))
    elif entry.verdict == "not applicable":
        ET.SubElement(case, "skipped", message=_clean(entry.reason))


def _lines(entry: Entry) -> Iterable[str]:
    yield f"seen in {entry.hits} of {entry.trials} trials"
    yield from entry.evidence
    yield from entry.story
    if entry.replay:
        yield f"replay: {entry.replay}"


def _clean(text: str) -> str:
    return _UNSPEAKABLE.sub("?", text)
