"""The environment's way into spawned interpreters: it reaches them, and is never in their way."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from poolproof import history
from poolproof.agent import points

pytestmark = pytest.mark.integration

SOURCE = Path(points.__file__).parents[2]
SITE = SOURCE / "poolproof" / "agent" / "site"
OWN = "def own():\n    return 1\n\n\nown()\n"
OWN_LINES = {(1, "<module>"), (2, "own"), (5, "<module>")}


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """The directory of a trial that records the module `target`, which lies there."""
    (tmp_path / "target.py").write_text(OWN)
    own = [str(tmp_path / "target.py")]
    (tmp_path / "points.json").write_text(json.dumps({"mode": "record", "own": own}))
    return tmp_path


def run(
    trial: Path | None, *command: str, path: tuple[Path, ...] = (SITE, SOURCE)
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end, as a target's workers are spawned in this trial."""
    environment = {name: text for name, text in os.environ.items() if name != "POOLPROOF_TRIAL"}
    if trial is not None:
        environment["POOLPROOF_TRIAL"] = str(trial)
    environment["PYTHONPATH"] = os.pathsep.join(map(str, (*path, *([trial] if trial else []))))
    return subprocess.run(
        [sys.executable, *command],
        env=environment,
        cwd=trial,
        capture_output=True,
        text=True,
        check=False,
    )


def recorded(trial: Path) -> set[tuple[int, str]]:
    events = history.read(trial / "history.jsonl")
    return {(e.data["line"], e.data["name"]) for e in events if e.kind == "point"}


def notes(trial: Path) -> list[str | None]:
    return [
        event.message for event in history.read(trial / "history.jsonl") if event.kind == "note"
    ]


@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import target"),
        ("-m", "target"),
        ("-X", "utf8", "-B", "-c", "import target"),
        ("-c", "import threading, target; threading.Thread(target=target.own).start()"),
        ("-c", "import atexit, sys; atexit.register(lambda: __import__('target')); sys.exit()"),
    ],
    ids=["-c", "-m", "options", "thread", "atexit"],
)
def test_own_lines_are_recorded_however_python_is_started(
    trial: Path, command: tuple[str, ...]
) -> None:
    done = run(trial, *command)

    assert (done.returncode, done.stderr) == (0, "")
    assert recorded(trial) >= OWN_LINES


def test_a_script_is_recorded(trial: Path) -> None:
    done = run(trial, str(trial / "target.py"))

    assert (done.returncode, done.stderr) == (0, "")
    assert recorded(trial) == OWN_LINES


def measured(trial: Path) -> list[int]:
    """The lines of `target` that coverage saw."""
    coverage = pytest.importorskip("coverage")
    data = coverage.CoverageData(str(trial / "measured"))
    data.read()
    (file,) = (file for file in data.measured_files() if file.endswith("target.py"))
    return sorted(data.lines(file))


def test_coverage_that_starts_with_the_interpreter_measures_beside_it(
    trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("coverage")
    settings = trial / "settings"
    settings.write_text(f"[run]\ndata_file = {trial}/measured\n")
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COVERAGE_PROCESS_START", str(settings))
    done = run(trial, "-c", "import target")

    assert (done.returncode, done.stderr) == (0, "")
    assert recorded(trial) == OWN_LINES
    assert measured(trial) == [1, 2, 5]


def test_coverage_that_starts_later_measures_too(
    trial: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before Python 3.12 it takes the place of the only trace function that there is."""
    pytest.importorskip("coverage")
    for name in ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START", "COVERAGE_FILE"):
        monkeypatch.delenv(name, raising=False)
    command = ("-m", "coverage", "run", f"--data-file={trial}/measured", "target.py")
    done = run(trial, *command)

    assert (done.returncode, done.stderr) == (0, "")
    assert measured(trial) == [1, 2, 5]
    assert sys.version_info < (3, 12) or recorded(trial) == OWN_LINES


@pytest.mark.parametrize("in_trial", [False, True], ids=["no trial", "no points"])
def test_where_nothing_is_asked_for_nothing_is_imported(tmp_path: Path, *, in_trial: bool) -> None:
    program = "import sys; print('poolproof.agent' in sys.modules)"
    done = run(tmp_path if in_trial else None, "-c", program)

    assert (done.stdout, done.stderr) == ("False\n", "")
    assert not (tmp_path / "history.jsonl").exists()


WHERE = "import sys; print(sys.modules['sitecustomize'].__file__, sys.path.count({0!r}))"


def customised(trial: Path, source: str) -> Path:
    """A directory of the user's, whose own sitecustomize has this source."""
    directory = trial / "user"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(source)
    return directory


def test_without_another_sitecustomize_it_is_the_one(trial: Path) -> None:
    done = run(trial, "-c", WHERE.format(str(SITE)))

    assert (done.stdout, done.stderr) == (f"{SITE}/sitecustomize.py 1\n", "")


@pytest.mark.parametrize("first", [True, False], ids=["before it", "not first itself"])
def test_the_users_sitecustomize_is_imported_as_without_it(trial: Path, *, first: bool) -> None:
    user = customised(trial, "import builtins\nbuiltins.customised = __name__\n")
    other = trial / "other"
    path = (SITE, user, SOURCE) if first else (other, SITE, user, SOURCE)
    done = run(trial, "-c", f"{WHERE.format(str(SITE))}; print(customised)", path=path)

    assert done.stdout == f"{user}/sitecustomize.py 1\nsitecustomize\n"
    assert done.stderr == ""


def test_the_users_sitecustomize_may_change_the_path(trial: Path) -> None:
    user = customised(trial, "import sys\nsys.path.insert(0, '/first')\n")
    program = "import sys; print('/first' in sys.path)"
    done = run(trial, "-c", program, path=(SITE, user, SOURCE))

    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize("source", ["raise RuntimeError('mine')", "import missing_of_the_user"])
def test_an_error_of_the_users_sitecustomize_is_told_as_without_it(
    trial: Path, source: str
) -> None:
    user = customised(trial, source)
    without = run(None, "-c", "", path=(user,))
    done = run(trial, "-c", "import target", path=(SITE, user, SOURCE))

    assert done.stderr == without.stderr != ""
    assert recorded(trial) == OWN_LINES


def test_the_users_tracer_is_kept(trial: Path) -> None:
    tracer = (
        "import sys\nseen = []\n"
        "def trace(frame, event, arg):\n"
        "    if frame.f_code.co_name == 'own': seen.append(event)\n"
        "    return trace\n"
        "sys.settrace(trace)\n"
    )
    user = customised(trial, tracer)
    program = "import target, sitecustomize; print(sitecustomize.seen)"
    done = run(trial, "-c", program, path=(SITE, user, SOURCE))

    assert (done.stdout, done.stderr) == ("['call', 'line', 'return']\n", "")
    assert recorded(trial) == OWN_LINES


def test_a_worker_starts_where_poolproof_cannot_be_imported(trial: Path) -> None:
    poolproof = trial / "poolproof"
    poolproof.mkdir()
    (poolproof / "__init__.py").write_text("raise RuntimeError('broken')")
    done = run(trial, "-c", "print('started')", path=(SITE, trial))

    assert (done.stdout, done.stderr) == ("started\n", "")
    assert notes(trial) == ["could not reach a spawned worker: RuntimeError('broken')"]


def test_a_worker_starts_where_nothing_can_be_journalled_either(trial: Path) -> None:
    (trial / "history.jsonl").mkdir()
    poolproof = trial / "poolproof"
    poolproof.mkdir()
    (poolproof / "__init__.py").write_text("raise RuntimeError('broken')")
    done = run(trial, "-c", "print('started')", path=(SITE, trial))

    assert (done.stdout, done.stderr) == ("started\n", "")


@pytest.mark.parametrize("asked", ["", "{}", "[", '{"mode": "strike"}', '{"mode": "record"}'])
def test_a_worker_starts_whatever_its_points_are(trial: Path, asked: str) -> None:
    (trial / "points.json").write_text(asked)
    done = run(trial, "-c", "print('started')")

    assert (done.stdout, done.stderr) == ("started\n", "")
    assert len(notes(trial)) == 1
