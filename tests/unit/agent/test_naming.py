"""From a target's name to its factory; what cannot be found gets one clear error."""

import concurrent.futures
import multiprocessing
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

from poolproof.adapters.base import TargetProblem
from poolproof.agent.naming import last_own_frame, resolve

pytestmark = pytest.mark.unit

WHERE = rf"; looked in .* and in the environment of {sys.executable} \(--python names another\)$"


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable working directory, of which nothing stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PYTHONPATH", "first")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def _problem(name: str) -> str:
    with pytest.raises(TargetProblem) as raised:
        resolve(name)
    return str(raised.value)


def test_a_dotted_name_is_found() -> None:
    factory = resolve("multiprocessing.Pool")

    assert factory.function == multiprocessing.Pool
    assert (factory.name, factory.module) == ("multiprocessing.Pool", multiprocessing)


def test_a_dotted_name_may_go_through_packages() -> None:
    factory = resolve("concurrent.futures.ProcessPoolExecutor")

    assert factory.function is concurrent.futures.ProcessPoolExecutor


def test_a_dotted_name_may_end_in_a_class(own_place: Path) -> None:
    _write(
        own_place / "house.py", "class Pools:\n    @staticmethod\n    def make(n): return n * 2\n"
    )

    assert resolve("house.Pools.make")(4) == 8


def test_a_name_with_a_colon_may_have_dotted_attributes(own_place: Path) -> None:
    _write(own_place / "pkg" / "__init__.py", "")
    _write(own_place / "pkg" / "deep.py", "class A:\n    class B: pass\n")

    assert resolve("pkg.deep:A.B").function.__qualname__ == "A.B"


def test_a_file_is_imported_under_its_stem(own_place: Path) -> None:
    file = _write(own_place / "elsewhere" / "my_pools.py", "def make(n): return [n]\n")

    factory = resolve("elsewhere/my_pools.py:make")

    assert factory(3) == [3]
    assert factory.function.__module__ == "my_pools"
    assert sys.path[0] == str(file.parent)


def test_a_files_directory_comes_last_in_the_path_of_children(own_place: Path) -> None:
    _write(own_place / "elsewhere" / "my_pools.py", "def make(n): return [n]\n")
    resolve("elsewhere/my_pools.py:make")
    resolve("elsewhere/my_pools.py:make")

    assert os.environ["PYTHONPATH"] == f"first{os.pathsep}{own_place / 'elsewhere'}"


def test_a_file_in_the_working_directory_needs_no_slash(own_place: Path) -> None:
    _write(own_place / "here.py", "def make(): return 1\n")

    assert resolve("here.py:make")() == 1


def test_a_child_unpickles_functions_of_the_file(own_place: Path) -> None:
    _write(own_place / "elsewhere" / "my_jobs.py", "def job(): return 'done'\n")
    factory = resolve("elsewhere/my_jobs.py:job")

    code = f"import {factory.function.__module__} as module; print(module.job())"
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )

    assert printed.stdout == "done\n"


def test_an_unknown_module_gets_close_matches(own_place: Path) -> None:
    _write(own_place / "mypools.py", "")

    with pytest.raises(
        TargetProblem,
        match=r"^expected an importable module, got 'mypool' in target 'mypool:make' "
        r"\(did you mean mypools" + r".*\?\)" + WHERE,
    ):
        resolve("mypool:make")


def test_an_unknown_submodule_gets_those_of_its_package(own_place: Path) -> None:
    _write(own_place / "pkg" / "__init__.py", "")
    _write(own_place / "pkg" / "pools.py", "")

    assert "got 'pkg.poolz' in target 'pkg.poolz:make' (did you mean pkg.pools?);" in _problem(
        "pkg.poolz:make"
    )


def test_an_unknown_package_is_named_rather_than_its_submodule() -> None:
    assert "got 'nosuchpackage' in target 'nosuchpackage.pools:make'" in _problem(
        "nosuchpackage.pools:make"
    )


def test_an_unknown_dotted_name_is_an_unknown_module() -> None:
    with pytest.raises(
        TargetProblem, match=r"^expected an importable module, got 'nosuch'" + WHERE
    ):
        resolve("nosuch")


def test_an_unknown_attribute_gets_close_matches() -> None:
    assert _problem("multiprocessing.Pol") == (
        "expected 'Pol' in multiprocessing, got no such name (did you mean Pool?)"
    )


def test_an_unknown_attribute_of_a_class_names_the_class() -> None:
    assert _problem("multiprocessing:Process.strat") == (
        "expected 'strat' in multiprocessing.Process, got no such name (did you mean start?)"
    )


def test_a_module_is_no_factory() -> None:
    assert _problem("multiprocessing") == (
        "expected a factory or a class, got the module multiprocessing; "
        "name one of its members, as in multiprocessing:Pool"
    )


def test_a_module_with_factories_of_its_own_names_one(own_place: Path) -> None:
    _write(own_place / "plainly.py", "from os import fork\ndef make(n): ...\n")

    assert _problem("plainly").endswith("as in plainly:make")


def test_what_cannot_be_called_is_no_factory() -> None:
    assert _problem("math:pi") == "expected math:pi to be a factory or a class, got float"


@pytest.mark.parametrize("name", ["", ":make", "pools:", "two words", "a..b", "1.2"])
def test_a_malformed_name_gets_the_shapes(name: str) -> None:
    assert _problem(name) == (
        f"expected package.Name, package.module:factory or path/to/file.py:factory, got {name!r}"
    )


def test_a_file_without_a_factory_gets_its_functions(own_place: Path) -> None:
    _write(own_place / "some.py", "import os\ndef _own(): ...\ndef make(): ...\nclass Pool: ...\n")

    assert _problem("some.py") == (
        "expected path/to/file.py:factory, got 'some.py'; append :factory, one of make, Pool"
    )


@pytest.mark.parametrize("name", ["absent.py", "dir/absent"])
def test_a_file_without_a_factory_may_not_exist(name: str) -> None:
    assert _problem(name) == f"expected path/to/file.py:factory, got {name!r}"


def test_an_absent_file_gets_close_matches(own_place: Path) -> None:
    _write(own_place / "sub" / "pools.py", "")

    assert _problem("sub/pool.py:make") == (
        "expected a file, got no such file as sub/pool.py (did you mean pools.py?)"
    )


def test_an_absent_directory_is_an_absent_file() -> None:
    assert _problem("nowhere/pool.py:make") == (
        "expected a file, got no such file as nowhere/pool.py"
    )


@pytest.mark.parametrize("name", ["my.pool.py", "pool.txt"])
def test_a_file_that_cannot_be_a_module_is_refused(own_place: Path, name: str) -> None:
    _write(own_place / "sub" / name, "")

    assert _problem(f"sub/{name}:make") == f"expected a file named like module.py, got {name}"


def test_a_file_that_would_hide_a_module_is_refused(own_place: Path) -> None:
    _write(own_place / "sub" / "wave.py", "def make(): ...\n")
    assert _problem("sub/wave.py:make") == (
        "expected a file whose name is free, got wave.py, which would stand in the way of "
        f"the module 'wave' ({wave.__file__}); rename the file"
    )
    assert str(own_place / "sub") not in sys.path


def test_a_file_that_would_hide_a_builtin_module_is_refused(own_place: Path) -> None:
    _write(own_place / "sub" / "time.py", "def make(): ...\n")

    assert "the module 'time' (loaded, without a file)" in _problem("sub/time.py:make")


def test_a_file_that_would_hide_a_module_not_yet_loaded_is_refused(own_place: Path) -> None:
    _write(own_place / "taken.py", "")
    _write(own_place / "sub" / "taken.py", "def make(): ...\n")

    assert f"the module 'taken' ({own_place / 'taken.py'})" in _problem("sub/taken.py:make")


def test_an_import_that_raises_names_the_own_frame(own_place: Path) -> None:
    file = _write(own_place / "faulty.py", "import json\njson.loads('{')\n")

    text = _problem("faulty:make")

    assert text.startswith("expected faulty to be importable, got JSONDecodeError: Expecting")
    assert text.endswith(f" ({file}:2 in <module>)")


def test_an_import_that_exits_is_a_problem(own_place: Path) -> None:
    file = _write(own_place / "leaving.py", "import sys\nsys.exit('no config')\n")

    assert _problem("leaving:make") == (
        f"expected leaving to be importable, got SystemExit: no config ({file}:2 in <module>)"
    )


def test_a_missing_dependency_is_not_taken_for_the_target(own_place: Path) -> None:
    file = _write(own_place / "pkg" / "__init__.py", "import nosuchdependency\n")

    expected = (
        "expected pkg to be importable, got ModuleNotFoundError: No module named "
        f"'nosuchdependency' ({file}:1 in <module>); "
        "--python names the interpreter of another environment"
    )
    assert _problem("pkg.pools:make").replace("pkg.pools to", "pkg to") == expected
    assert _problem("pkg.make") == expected


def test_a_package_that_raises_is_named_by_a_dotted_target(own_place: Path) -> None:
    file = _write(own_place / "pkg" / "__init__.py", "1 / 0\n")

    assert _problem("pkg.pools.make") == (
        "expected pkg.pools to be importable, got ZeroDivisionError: division by zero "
        f"({file}:1 in <module>)"
    )


def test_a_syntax_error_names_its_line(own_place: Path) -> None:
    file = _write(own_place / "sub" / "torn.py", "x = 1\ndef make(:\n")

    text = _problem("sub/torn.py:make")

    assert text.startswith("expected sub/torn.py to be importable, got SyntaxError: ")
    assert text.endswith(f" ({file}:2)")


def test_a_file_of_a_package_is_better_named_by_it(own_place: Path) -> None:
    _write(own_place / "parcel" / "__init__.py", "")
    _write(own_place / "parcel" / "pools_of_it.py", "from . import other\n")

    assert _problem("parcel/pools_of_it.py:make").endswith(
        "; it is part of a package: name it as parcel.pools_of_it:factory"
    )


def test_an_error_without_frames_has_no_place() -> None:
    assert last_own_frame(ValueError()) == ""
