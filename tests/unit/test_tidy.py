"""The rules of the house that a machine can keep: what may stand here, and how long it may be."""

import ast
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.unit

ROOT: Final = Path(__file__).parents[2]
FUNCTION_LINES: Final = 70
MODULE_LINES: Final = 500
MEDIAN_BODY_LINES: Final = 6
MARKERS: Final = {"unit": "unit", "integration": "integration", "chaos": "chaos", "perf": "perf"}
# A name must say what a file is for; these fit any file.
NAMES_THAT_SAY_NOTHING: Final = frozenset(
    {"common", "core", "helper", "helpers", "manager", "misc", "util", "utils"}
)
# Put together here, so that this file does not find itself.
NOTES_FOR_LATER: Final = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
PATHS_OF_ONE_MACHINE: Final = re.compile(r"(?<![\w.])/(?:r" r"oot|w" r"ork|home|Us" r"ers)/\w")
WORDS_OF_NO_READER: Final = re.compile(
    r"\b(?:this|earlier|previous|last|next) ses" r"sion\b|\bLL" r"Ms?\b|for n" r"ow(?:[.;)]|$)",
    re.IGNORECASE,
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    return sorted(file for folder in folders for file in (ROOT / folder).rglob("*.py"))


SOURCES: Final = python_files("src")
TESTS: Final = [file for file in python_files("tests") if file.name.startswith("test_")]
ALL_PYTHON: Final = python_files("src", "tests", "scripts")
PROSE: Final = ("*.md", "*.toml", "docs/**/*.*", "scripts/*.sh", ".ci/*")
WRITTEN: Final = [file for pattern in PROSE for file in ROOT.glob(pattern)]
TEXTS: Final = [*ALL_PYTHON, *(file for file in WRITTEN if file.suffix != ".png")]


@dataclass(frozen=True, slots=True)
class Measured:
    """One function: where it begins, and how long it and its body are."""

    line: int
    name: str
    lines: int
    body_lines: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What is asked about a file; its syntax tree, which is large, is not kept."""

    charter: str
    functions: tuple[Measured, ...]
    markers: frozenset[str]
    sleeps: tuple[str, ...]


@cache
def facts(file: Path) -> Facts:
    tree = ast.parse(file.read_text(encoding="utf-8"), filename=str(file))
    nodes = list(ast.walk(tree))
    return Facts(
        charter=ast.get_docstring(tree) or "",
        functions=tuple(measured(node) for node in nodes if isinstance(node, Function)),
        markers=frozenset(markers(tree)),
        sleeps=tuple(sleeps(file, nodes)) if file.name.startswith("test_") else (),
    )


def measured(node: Function) -> Measured:
    """Count from the first statement after the docstring; a body of a docstring alone has none."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    assert node.end_lineno
    return Measured(
        line=node.lineno,
        name=node.name,
        lines=node.end_lineno - node.lineno + 1,
        body_lines=node.end_lineno - body[0].lineno + 1 if body else 0,
    )


def where(file: Path, line: int = 1) -> str:
    return f"{file.relative_to(ROOT)}:{line}"


def found(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    return [
        f"{where(file, number)}: {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_there_is_something_to_judge() -> None:
    assert len(SOURCES) > 10
    assert len(TESTS) > 3
    assert all(file.exists() for file in TEXTS)


def test_every_module_begins_with_its_charter() -> None:
    missing = [where(file) for file in ALL_PYTHON if not facts(file).charter]

    assert missing == []


def test_no_function_is_too_long() -> None:
    long = [
        f"{where(file, function.line)} {function.name}: {function.lines} lines"
        for file in ALL_PYTHON
        for function in facts(file).functions
        if function.lines > FUNCTION_LINES
    ]

    assert long == []


def test_no_module_is_long_without_a_reason() -> None:
    counts = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in ALL_PYTHON}
    long = [file for file, count in counts.items() if count > MODULE_LINES]

    assert [
        f"{where(file)}: {counts[file]} lines, and no `Long because ...` in its docstring"
        for file in long
        if "Long because " not in facts(file).charter
    ] == []


def test_half_of_the_functions_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    bodies = [function.body_lines for file in SOURCES for function in facts(file).functions]
    median = statistics.median(bodies)
    with capsys.disabled():
        print(  # noqa: T201 - the figure is to be seen, not only bounded
            f"\nmedian body of a function in src: {median:g} lines (at most {MEDIAN_BODY_LINES})"
        )

    assert median <= MEDIAN_BODY_LINES


def test_every_file_has_a_name_that_says_what_it_is_for() -> None:
    parts = {part: file for file in ALL_PYTHON for part in file.relative_to(ROOT).parts}
    stems = {part.removesuffix(".py").removeprefix("_"): file for part, file in parts.items()}

    assert {name: where(stems[name]) for name in NAMES_THAT_SAY_NOTHING & set(stems)} == {}


def test_nothing_is_put_off_in_a_note() -> None:
    assert found(NOTES_FOR_LATER, TEXTS) == []


def test_no_path_of_one_machine_is_in_the_project() -> None:
    assert found(PATHS_OF_ONE_MACHINE, TEXTS) == []


def test_no_word_is_there_that_means_nothing_to_a_reader() -> None:
    assert found(WORDS_OF_NO_READER, TEXTS) == []


def markers(tree: ast.Module) -> set[str]:
    """Return the markers of the whole file: what its `pytestmark` names after `pytest.mark`."""
    assigned = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    )
    names = (re.findall(r"pytest\.mark\.(\w+)", ast.unparse(value)) for value in assigned)
    return {name for group in names for name in group}


@pytest.mark.parametrize("folder", MARKERS)
def test_every_test_file_carries_the_marker_of_its_folder(folder: str) -> None:
    mine = [file for file in TESTS if file.relative_to(ROOT / "tests").parts[0] == folder]

    assert [where(file) for file in mine if MARKERS[folder] not in facts(file).markers] == []


def test_every_test_file_is_in_a_folder_that_a_script_runs() -> None:
    strays = [file for file in TESTS if file.relative_to(ROOT / "tests").parts[0] not in MARKERS]

    assert [where(file) for file in strays] == []


def polling(nodes: list[ast.AST]) -> set[ast.AST]:
    """Return what is in a loop that ends by a fact: there, a pause only spaces the questions."""
    loops = (node for node in nodes if isinstance(node, ast.While))
    return {n for loop in loops if not isinstance(loop.test, ast.Constant) for n in ast.walk(loop)}


def sleeps(file: Path, nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the calls that wait for time to pass; `asyncio.sleep(0)` gives others their turn."""
    spaced = polling(nodes)
    for node in nodes:
        if isinstance(node, ast.Call) and node not in spaced and named_sleep(node.func):
            arguments = [ast.unparse(argument) for argument in node.args]
            if arguments != ["0"]:
                yield f"{where(file, node.lineno)} {ast.unparse(node)}"


def named_sleep(function: ast.expr) -> bool:
    """Tell whether it is `sleep` or `module.sleep`."""
    if isinstance(function, ast.Attribute):
        return function.attr == "sleep" and isinstance(function.value, ast.Name)
    return isinstance(function, ast.Name) and function.id == "sleep"


def test_no_test_waits_for_time_to_pass() -> None:
    assert [call for file in TESTS for call in facts(file).sleeps] == []


RULES_AND_OFFENDERS: Final = [
    (NOTES_FOR_LATER, "# TO" + "DO: later"),
    (PATHS_OF_ONE_MACHINE, "open('/r" + "oot/x')"),
    (PATHS_OF_ONE_MACHINE, "cd /home" + "/me"),
    (WORDS_OF_NO_READER, "as in the previous ses" + "sion"),
]


@pytest.mark.parametrize(("rule", "offender"), RULES_AND_OFFENDERS)
def test_a_rule_finds_its_offender(rule: re.Pattern[str], offender: str) -> None:
    assert rule.search(offender)


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("time.sleep(1)", 1),
        ("sleep(delay)", 1),
        ("while True:\n    time.sleep(1)", 1),
        ("while not fact():\n    time.sleep(0.01)", 0),
        ("turn(asyncio.sleep(0))", 0),
    ],
)
def test_a_sleep_is_found_unless_it_spaces_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, number: int
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    file = tmp_path / "test_it.py"
    file.write_text(source)

    assert len(facts(file).sleeps) == number
