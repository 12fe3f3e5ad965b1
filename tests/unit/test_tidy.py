"""The rules of the house that a machine can keep: what may stand here, and how long it may be."""

import ast
import re
import statistics
from collections.abc import Iterator
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


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), filename=str(file))


def functions(file: Path) -> Iterator[Function]:
    return (node for node in ast.walk(tree(file)) if isinstance(node, Function))


def lines(node: Function) -> int:
    assert node.end_lineno
    return node.end_lineno - node.lineno + 1


def body_lines(node: Function) -> int:
    """Count from the first statement after the docstring; a body of a docstring alone has none."""
    body = node.body[1:] if ast.get_docstring(node) else node.body
    assert node.end_lineno
    return node.end_lineno - body[0].lineno + 1 if body else 0


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
    missing = [where(file) for file in ALL_PYTHON if not ast.get_docstring(tree(file))]

    assert missing == []


def test_no_function_is_too_long() -> None:
    long = [
        f"{where(file, node.lineno)} {node.name}: {lines(node)} lines"
        for file in ALL_PYTHON
        for node in functions(file)
        if lines(node) > FUNCTION_LINES
    ]

    assert long == []


def test_no_module_is_long_without_a_reason() -> None:
    counts = {file: len(file.read_text(encoding="utf-8").splitlines()) for file in ALL_PYTHON}
    long = [file for file, count in counts.items() if count > MODULE_LINES]

    assert [
        f"{where(file)}: {counts[file]} lines, and no `Long because ...` in its docstring"
        for file in long
        if "Long because " not in (ast.get_docstring(tree(file)) or "")
    ] == []


def test_half_of_the_functions_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    median = statistics.median(body_lines(node) for file in SOURCES for node in functions(file))
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


def markers(file: Path) -> set[str]:
    """Return the markers of the whole file: what its `pytestmark` names after `pytest.mark`."""
    assigned = (
        node.value
        for node in tree(file).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    )
    names = (re.findall(r"pytest\.mark\.(\w+)", ast.unparse(value)) for value in assigned)
    return {name for group in names for name in group}


@pytest.mark.parametrize("folder", MARKERS)
def test_every_test_file_carries_the_marker_of_its_folder(folder: str) -> None:
    mine = [file for file in TESTS if file.relative_to(ROOT / "tests").parts[0] == folder]

    assert [where(file) for file in mine if MARKERS[folder] not in markers(file)] == []


def test_every_test_file_is_in_a_folder_that_a_script_runs() -> None:
    strays = [file for file in TESTS if file.relative_to(ROOT / "tests").parts[0] not in MARKERS]

    assert [where(file) for file in strays] == []


def polling(file: Path) -> set[ast.AST]:
    """Return what is in a loop that ends by a fact: there, a pause only spaces the questions."""
    loops = (node for node in ast.walk(tree(file)) if isinstance(node, ast.While))
    return {n for loop in loops if not isinstance(loop.test, ast.Constant) for n in ast.walk(loop)}


def sleeps(file: Path) -> Iterator[str]:
    """Yield the calls that wait for time to pass; `asyncio.sleep(0)` gives others their turn."""
    for node in set(ast.walk(tree(file))) - polling(file):
        if isinstance(node, ast.Call) and re.fullmatch(r"(\w+\.)?sleep", ast.unparse(node.func)):
            arguments = [ast.unparse(argument) for argument in node.args]
            if arguments != ["0"]:
                yield f"{where(file, node.lineno)} {ast.unparse(node)}"


def test_no_test_waits_for_time_to_pass() -> None:
    assert [call for file in TESTS for call in sleeps(file)] == []


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

    assert len(list(sleeps(file))) == number
