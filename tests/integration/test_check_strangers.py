"""Pools that poolproof has never heard of, in folders and environments of their own, checked as their owners would."""

import inspect
import multiprocessing.pool
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from poolproof.chaos.result import ENDINGS
from tests.integration.commands import QUICK, check, loaded

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]

# Its workers understand nothing but orders of their own kind, and never the pickled function of somebody else.
KITCHEN: Final = """
from concurrent.futures import ProcessPoolExecutor

jobs = [({"dish": "soup", "portions": 2}, "2 soup"), ({"dish": "rice", "portions": 5}, "5 rice")]
promises = {"at-most-once": True}
contract = {"orphan": "Cooks go home when they please."}


def cook(request):
    return f"{request['portions']} {request['dish']}"


class Kitchen:
    def __init__(self, cooks):
        self.cooks = ProcessPoolExecutor(cooks)

    def submit(self, request):
        if set(request) != {"dish", "portions"}:
            raise TypeError(request)
        return self.cooks.submit(cook, request)

    def shutdown(self):
        self.cooks.shutdown()


def make(workers):
    return Kitchen(workers)
"""
SOURCE: Final = inspect.getsource(multiprocessing.pool)
PROMISING: Final = """
import multiprocessing

{declaration}


def make(workers):
    return multiprocessing.Pool(workers)
"""


def report(folder: Path, target: str, *options: str) -> tuple[int, dict[str, Any], str]:
    """Check a target in its folder; return the exit code, the report, and what was printed."""
    ended = check(target, "--seed", "1", "--out", "out", *options, cwd=folder)
    assert ended.left == []
    assert (folder / "out" / "result.json").exists(), ended.err
    return ended.code, loaded(folder / "out" / "result.json"), ended.out


def endings(found: dict[str, Any]) -> dict[tuple[str, int], str]:
    """Return how each crash point ended; on a busy machine a recovery may be slow that else is none."""
    return {
        (Path(point["file"]).name.replace("crowd.py", "pool.py"), point["line"]): point[
            "ending"
        ].replace("slow", "survived")
        for point in found["crash_points"]["points"]
    }


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_copy_of_the_standard_librarys_pool_under_another_name_dies_at_the_same_lines(
    tmp_path: Path,
) -> None:
    """Nothing is special-cased: not the name, not the folder, not the standard library."""
    source = re.sub(r"from \. import", "from multiprocessing import", SOURCE)
    source = re.sub(r"from \.(\w+) import", r"from multiprocessing.\1 import", source)
    (tmp_path / "crowd.py").write_text(
        f"{source}\n\ndef make(workers):\n    return Pool(workers)\n"
    )

    _, copied, _ = report(tmp_path, "crowd:make", "--faults", "none")
    _, original, _ = report(tmp_path, "multiprocessing.Pool", "--faults", "none")

    assert copied["crash_points"]["own"] == ["crowd", "multiprocessing"]
    assert set(endings(original).values()) >= {"survived", "lost", "stopped"}
    assert endings(copied) == endings(original)
    for table in (copied["crash_points"], original["crash_points"]):
        assert sum(table[ending] for ending in ENDINGS) == table["total"] == len(table["points"])


def slow_package(directory: Path, prefix: str) -> None:
    """Write a package whose pool spawns workers that import something slow, and names its semaphores by a prefix."""
    package = directory / "mypools"
    package.mkdir()
    (package / "heavy.py").write_text("import time\n\ntime.sleep(0.5)\n")
    (package / "__init__.py").write_text(
        "import multiprocessing\n\nfrom mypools import heavy\n\n\n"
        "def set_up():\n    assert heavy\n\n\n"
        "def make_pool(workers):\n"
        f'    multiprocessing.current_process()._config["semprefix"] = "/{prefix}"\n'
        '    return multiprocessing.get_context("spawn").Pool(workers, set_up)\n'
    )


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_package_whose_spawned_workers_import_something_slow_is_judged(tmp_path: Path) -> None:
    slow_package(tmp_path, f"slow-{os.getpid()}")

    few = ("--faults", "kill-busy", "--crash-points", "off", "--time", "40")
    code, found, said = report(tmp_path, "mypools:make_pool", *few, "--jobs", "2")

    assert code == 1, said
    assert {"kill-busy"} == {row["fault"] for row in found["faults"] if row["verdict"] == "invalid"}


def test_a_run_whose_time_is_over_says_what_was_not_tried_and_leaves_no_semaphore(
    tmp_path: Path,
) -> None:
    prefix = f"brief-{os.getpid()}"
    slow_package(tmp_path, prefix)

    code, found, said = report(tmp_path, "mypools:make_pool", "--time", "8", "--jobs", "2")

    assert code in (1, 3), said
    assert found["seconds"] < 16
    assert found["crash_points"]["not_tried"] or any(
        row["verdict"] == "not tried" for row in found["faults"]
    )
    assert "not tried" in said
    assert list(Path("/dev/shm").glob(f"sem.{prefix}*")) == []


def test_another_environments_interpreter_needs_nothing_of_poolproof(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "bare"], cwd=tmp_path, check=True
    )
    missing = subprocess.run(
        ["bare/bin/python", "-c", "import msgspec"], cwd=tmp_path, check=False, capture_output=True
    )

    code, found, _ = report(
        *(tmp_path, "concurrent.futures.ThreadPoolExecutor", "--python", "bare/bin/python"),
        *("--faults", "error-in-job"),
    )

    assert missing.returncode == 1, "the environment has what it must not have"
    assert code == 0
    assert found["environment"]["interpreter"] == str(tmp_path / "bare" / "bin" / "python")


def test_a_pool_of_its_own_kind_of_jobs_is_given_those_of_its_module(tmp_path: Path) -> None:
    (tmp_path / "kitchen.py").write_text(KITCHEN)

    code, found, said = report(
        tmp_path, "kitchen:make", "--faults", "kill-idle,error-in-job", *QUICK
    )

    rows = {row["fault"]: row for row in found["faults"]}
    assert code == 0, said
    assert rows["kill-idle"]["verdict"] == "valid"
    assert rows["error-in-job"]["verdict"] == "not applicable"
    assert "only the jobs that its module carries" in rows["error-in-job"]["note"]
    assert found["promises"] == {
        "at-most-once": True,
        "contract": {"orphan": "Cooks go home when they please."},
    }


def test_a_pool_that_takes_only_jobs_of_its_own_kind_and_carries_none_is_told_to(
    tmp_path: Path,
) -> None:
    (tmp_path / "kitchen.py").write_text(KITCHEN.replace("jobs = ", "dishes = "))

    ended = check("kitchen:make", *QUICK, "--deadline", "2", cwd=tmp_path)

    assert (ended.code, ended.left) == (2, [])
    assert "needs `jobs` in its factory's module" in ended.complaint


def test_what_a_pool_declares_is_by_contract_with_its_quote_and_does_not_fail(
    tmp_path: Path,
) -> None:
    quote = "A job whose worker is killed is never heard of again."
    declaration = f'contract = {{"unresolved-job": "{quote}", "shutdown-hang": "{quote}"}}'
    (tmp_path / "candid.py").write_text(PROMISING.format(declaration=declaration))

    code, found, said = report(tmp_path, "candid:make", "--faults", "kill-busy", *QUICK)

    (row,) = [
        row
        for row in found["checks"]
        if row["invariant"] == "unresolved-job" and row["fault"] != "none"
    ]
    assert (code, found["verdict"]) == (0, "by contract"), said
    assert row["verdict"] == "by contract"
    assert f'declared: "{quote}"' in row["reason"]
    assert f'declared: "{quote}"' in " ".join(said.split())


def test_a_promise_of_the_factory_is_held_to(tmp_path: Path) -> None:
    declaration = 'promises = {"at-most-once": True, "order": "fifo"}'
    (tmp_path / "proud.py").write_text(PROMISING.format(declaration=declaration))

    code, found, _ = report(tmp_path, "proud:make", "--faults", "error-in-job", *QUICK)

    kept = {row["invariant"]: row["verdict"] for row in found["checks"] if row["fault"] != "none"}
    assert code == 0
    assert found["promises"] == {"at-most-once": True, "order": "fifo"}
    assert (kept["at-most-once"], kept["order"]) == ("valid", "valid")
