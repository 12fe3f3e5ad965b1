"""What importing poolproof costs, and what its parts may import."""

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import poolproof

pytestmark = pytest.mark.unit

PACKAGE: Final = Path(poolproof.__file__).parent
INSIDE_TARGETS: Final = ("agent", "adapters")


def run(program: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", program]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_importing_poolproof_imports_nothing_else() -> None:
    program = "import sys; old = set(sys.modules); import poolproof; print(set(sys.modules) - old)"

    assert run(program) == "{'poolproof'}"


def test_a_command_does_not_pay_for_what_only_others_import() -> None:
    program = "import sys; from poolproof import cli; cli._parser(['check']); print('pytest' in sys.modules)"

    assert run(program) == "False"


def modules_inside_targets() -> list[str]:
    found = pkgutil.walk_packages(poolproof.__path__, "poolproof.")
    return [module.name for module in found if module.name.split(".")[1] in INSIDE_TARGETS]


def test_what_runs_inside_a_target_needs_only_the_standard_library() -> None:
    """Under -S there are no site-packages: a third party's module could not be found."""
    names = modules_inside_targets()
    program = (
        f"import sys, importlib; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
        f"for name in {names!r}: importlib.import_module(name)\n"
        "print(*{'.'.join(m.split('.')[:2]) for m in sys.modules if m.startswith('poolproof.')})"
    )

    assert len(names) > 1
    assert set(run(program, "-S", "-E").split()) <= {f"poolproof.{n}" for n in INSIDE_TARGETS}


def imported(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_file_of_the_agent_imports_anything_foreign_not_even_late() -> None:
    ours = tuple(f"poolproof.{name}" for name in INSIDE_TARGETS)
    foreign = [
        f"{file.relative_to(PACKAGE)}: {name}"
        for file in (PACKAGE / "agent").rglob("*.py")
        for name in imported(file)
        if not name.startswith(ours) and name.split(".")[0] not in sys.stdlib_module_names
    ]

    assert foreign == []
