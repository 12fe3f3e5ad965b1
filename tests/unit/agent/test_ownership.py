"""Which code counts as a pool's own."""

import asyncio
import importlib
import multiprocessing.dummy
import multiprocessing.pool
import sys
import types
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from poolproof.agent.ownership import infer_own, own_paths

pytestmark = pytest.mark.unit

Written = Callable[[dict[str, str]], Path]


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Written]:
    """Write importable modules, by path; whatever is imported of them is forgotten in the end."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def write(sources: dict[str, str]) -> Path:
        for name, source in sources.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        importlib.invalidate_caches()
        return tmp_path

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def pool_of(module: str) -> Any:
    """An object of the class Pool in `module`, not initialised."""
    pool = object.__new__(importlib.import_module(module).Pool)
    pool._state = "CLOSE"  # or multiprocessing's complains of being left open
    return pool


def test_a_pool_of_multiprocessing_is_multiprocessing() -> None:
    assert infer_own(pool_of("multiprocessing.pool")) == ("multiprocessing",)


def test_an_executor_is_built_on_multiprocessing() -> None:
    executor = object.__new__(ProcessPoolExecutor)

    assert infer_own(executor) == ("concurrent.futures", "multiprocessing")


def test_a_thread_pool_is_its_own_code() -> None:
    assert "concurrent.futures" in infer_own(object.__new__(ThreadPoolExecutor))


def test_asyncio_counts_where_the_class_lives_in_it() -> None:
    assert infer_own(object.__new__(asyncio.Queue)) == ("asyncio",)


def test_asyncio_does_not_count_where_it_is_used(written: Written) -> None:
    written({"apool.py": "import asyncio\nclass Pool(asyncio.Queue): pass"})

    assert infer_own(pool_of("apool")) == ("apool",)


@pytest.mark.parametrize("pool", [object(), [], iter(())], ids=["object", "list", "iterator"])
def test_what_is_built_in_is_no_ones_own(pool: object) -> None:
    assert infer_own(pool) == ()


def test_bases_that_only_shape_a_class_are_left_out(written: Written) -> None:
    written(
        {
            "shaped.py": "import abc, threading, typing\n"
            "class Pool(threading.Thread, typing.Generic[typing.TypeVar('T')], abc.ABC): pass"
        }
    )

    assert infer_own(pool_of("shaped")) == ("shaped",)


def test_a_copy_of_a_standard_pool_under_another_name_is_built_on_the_same(
    written: Written,
) -> None:
    source = Path(multiprocessing.pool.__file__).read_text("utf-8")
    absolute = source.replace("from . ", "from multiprocessing ")
    written({"copied.py": absolute.replace("from .", "from multiprocessing.")})

    assert infer_own(pool_of("copied")) == ("copied", "multiprocessing")


def test_a_package_counts_as_a_whole(written: Written) -> None:
    written(
        {
            "packed/__init__.py": "",
            "packed/deep/__init__.py": "",
            "packed/deep/pools.py": "from packed import machinery\nclass Pool: pass",
            "packed/machinery.py": "from concurrent.futures import ProcessPoolExecutor",
        }
    )

    assert infer_own(pool_of("packed.deep.pools")) == (
        "packed",
        "concurrent.futures",
        "multiprocessing",
    )


def test_a_namespace_is_no_ones_own_but_the_package_in_it_is(written: Written) -> None:
    written({"space/mine/__init__.py": "class Pool: pass", "space/other/__init__.py": ""})

    assert infer_own(pool_of("space.mine")) == ("space.mine",)


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        ("import os\ndef start(): return os.fork()", True),
        ("import os\nclass S:\n    @staticmethod\n    def start(): return os.fork()", True),
        ("import os\nclass S:\n    @property\n    def start(self): return os.fork()", True),
        ("import os\ndef start():\n    def now(): return os.fork()\n    return now", True),
        ("import multiprocessing\nclass P(multiprocessing.Process): pass", True),
        ("import multiprocessing\ndef start(): return multiprocessing.Process()", True),
        ("from concurrent import futures\ndef f(): return futures.ProcessPoolExecutor()", True),
        ("import multiprocessing\ndef cores(): return multiprocessing.cpu_count()", False),
        ("class Process: pass\ndef start(): return Process()", False),
        ("import os\ndef ident(): return os.getpid()", False),
    ],
)
def test_another_package_counts_if_it_starts_processes(
    written: Written, source: str, *, counts: bool
) -> None:
    written(
        {
            "site-packages/machine/__init__.py": source,
            "minepkg/__init__.py": "import machine\nclass Pool: pass",
        }
    )
    sys.path.insert(0, str(written({}) / "site-packages"))
    try:
        assert ("machine" in infer_own(pool_of("minepkg"))) is counts
    finally:
        del sys.path[0]


def test_a_module_beside_a_single_module_counts(written: Written) -> None:
    written({"mypool.py": "import myworker\nclass Pool: pass", "myworker.py": "", "other.py": ""})

    assert infer_own(pool_of("mypool")) == ("mypool", "myworker")


def test_a_module_beside_an_installed_one_does_not_count(written: Written) -> None:
    folder = written(
        {
            "site-packages/inpool.py": "import inother\nclass Pool: pass",
            "site-packages/inother.py": "",
        }
    )
    sys.path.insert(0, str(folder / "site-packages"))
    try:
        assert infer_own(pool_of("inpool")) == ("inpool",)
    finally:
        del sys.path[0]


def test_poolproof_is_never_own(written: Written) -> None:
    written({"ours.py": "from poolproof.agent import journal\nclass Pool: pass"})

    assert infer_own(pool_of("ours")) == ("ours",)


def test_a_stranger_may_take_a_name_of_the_standard_library(
    written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "this", raising=False)
    written({"this.py": "class Pool: pass"})

    assert infer_own(pool_of("this")) == ("this",)


def test_proxies_and_lazy_modules_among_the_globals_are_not_asked(written: Written) -> None:
    written(
        {
            "proxies.py": "import types\n"
            "class Proxy:\n"
            "    def __getattribute__(self, name): raise RuntimeError(name)\n"
            "class Lazy(types.ModuleType):\n"
            "    def __getattribute__(self, name): raise RuntimeError(name)\n"
            "proxy, lazy = Proxy(), Lazy('lazy')\n"
            "class Pool: pass"
        }
    )

    assert infer_own(pool_of("proxies")) == ("proxies",)


def test_a_module_that_only_poses_as_one_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "multiprocessing.posing", object())

    assert infer_own(pool_of("multiprocessing.pool")) == ("multiprocessing",)


def test_a_package_lies_in_its_directory_and_a_module_in_its_file() -> None:
    package = f"{Path(multiprocessing.__file__).parent}/"

    assert own_paths(["multiprocessing", "multiprocessing.pool", "multiprocessing"]) == [
        package,
        multiprocessing.pool.__file__,
    ]


def test_paths_of_what_was_not_imported_are_found_without_importing_it(written: Written) -> None:
    folder = written({"unseen/__init__.py": "raise RuntimeError", "alone.py": "raise RuntimeError"})

    assert own_paths(["unseen", "alone"]) == [f"{folder}/unseen/", f"{folder}/alone.py"]
    assert not {"unseen", "alone"} & set(sys.modules)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.deep", "sys", "_json", "", ".relative"])
def test_a_module_without_source_is_one_clear_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"^expected a module with Python source that can be imp"):
        own_paths([name])


def test_a_module_without_spec_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bare", types.ModuleType("bare"))

    with pytest.raises(ValueError, match=r"got 'bare'$"):
        own_paths(["bare"])
