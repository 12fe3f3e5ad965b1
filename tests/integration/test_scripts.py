"""The scripts a developer runs: each explains itself, refuses nonsense, and says the truth."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("unmeasured")]

ROOT: Final = Path(__file__).parents[2]
SUITES: Final = {
    "run_unit_tests.sh": "unit",
    "run_integration_tests.sh": "integration",
    "run_performance_tests.sh": "perf",
}
A_FILE: Final = {
    "run_unit_tests.sh": "tests/unit/test_summary.py",
    "run_integration_tests.sh": "tests/integration/test_scripts.py",
    "run_performance_tests.sh": "tests/perf/test_start.py",
}
"""To collect one file is as good as to collect thousands of tests."""
RUNNERS: Final = sorted(path.name for path in (ROOT / "scripts").glob("run_*.sh"))


def run(
    script: str, *arguments: str, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in the environment that runs this test, so that none is made."""
    inherited = {name: value for name, value in os.environ.items() if "POOLPROOF" not in name}
    variables = {"POOLPROOF_ENVIRONMENT": sys.prefix, **variables}
    return subprocess.run(
        [ROOT / "scripts" / script, *arguments],
        cwd=cwd,
        env={**inherited, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def last_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout.splitlines()[-1]


def test_each_script_of_the_design_is_there() -> None:
    names = ("all", "chaos", "integration", "performance", "unit")

    expected = [*(f"run_{name}_tests.sh" for name in names), "run_campaign.sh"]

    assert sorted(expected) == RUNNERS


@pytest.mark.parametrize("script", RUNNERS)
def test_help_tells_usage_and_exit_codes(script: str, tmp_path: Path) -> None:
    result = run(script, "--help", cwd=tmp_path)

    assert (result.returncode, result.stderr) == (0, "")
    assert f"scripts/{script} [" in result.stdout
    assert "Exit code" in result.stdout


@pytest.mark.parametrize("script", SUITES)
def test_an_unknown_option_is_refused(script: str) -> None:
    result = run(script, "--no-such-option")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unrecognized arguments: --no-such-option" in result.stderr
    assert last_line(result).startswith(f"{SUITES[script]}: no tests: exit 4 in ")


@pytest.mark.parametrize("script", SUITES)
def test_a_run_of_no_tests_is_no_pass(script: str) -> None:
    result = run(script, A_FILE[script], "-n0", "-k", "there_is_no_test_of_this_name")

    assert result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert last_line(result).startswith(f"{SUITES[script]}: no tests: nothing was proven in ")


def test_a_suite_ends_with_its_counts_from_any_directory(tmp_path: Path) -> None:
    result = run("run_unit_tests.sh", "tests/unit/test_summary.py", "-n0", cwd=tmp_path)

    assert result.returncode == 0
    assert "failed, 0 skipped in " in last_line(result)
    assert last_line(result).startswith("unit: ")


def test_each_layer_has_its_line() -> None:
    none = (A_FILE["run_integration_tests.sh"], "-k", "there_is_no_test_of_this_name")

    result = run("run_integration_tests.sh", *none)

    assert result.stdout.splitlines()[-4:-1] == [
        f"integration, layer {layer}: no tests" for layer in ("mock", "bridge_mock", "full")
    ]


def test_a_layer_without_tests_asked_for_alone_is_no_pass() -> None:
    result = run("run_integration_tests.sh", "--layer", "mock", "tests/integration/test_scripts.py")

    assert result.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "integration, layer mock: no tests" in result.stdout


def test_an_unknown_layer_is_refused() -> None:
    result = run("run_integration_tests.sh", "--layer=moc")

    assert result.returncode == pytest.ExitCode.USAGE_ERROR
    assert "invalid choice: 'moc'" in result.stderr


def test_an_unknown_campaign_is_refused() -> None:
    result = run("run_campaign.sh", "--only", "crusade")

    assert result.returncode == 4
    assert "expected a campaign among" in result.stderr


def test_every_campaign_in_the_list_is_explained() -> None:
    listed = run("run_campaign.sh", "--list").stdout.split()
    explained = run("run_campaign.sh", "--help").stdout
    extra = {
        path.stem.removeprefix("campaign_") for path in (ROOT / "scripts").glob("campaign_*.sh")
    }

    assert {"repeats", "seeds", "examples", "points", "pythons"} <= set(listed)
    assert [name for name in set(listed) - extra if f"\n  {name} " not in explained] == []


def test_an_interpreter_that_does_not_exist_is_named(tmp_path: Path) -> None:
    """Without uv on PATH, and with everything else that the set-up needs."""
    tools = ("bash", "cat", "cksum", "dirname", "flock", "mktemp", "rm")
    for tool in tools:
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    try:
        result = run(
            "run_unit_tests.sh",
            PATH=str(tmp_path),
            POOLPROOF_ENVIRONMENT="",
            POOLPROOF_PYTHON="9.9",
        )
    finally:
        (ROOT / ".venv-9.9.lock").unlink(missing_ok=True)

    assert result.returncode == 4
    assert "expected Python 3.11 to 3.13 or uv, got 9.9" in result.stderr


def test_a_failing_test_fails_its_suite(tmp_path: Path) -> None:
    """In a project of its own, with our scripts and without our tests."""
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    tests = tmp_path / "tests" / "unit"
    tests.mkdir(parents=True)
    lines = ("pytestmark = pytest.mark.unit", "def test_bad(): assert 0", "def test_good(): ...")
    (tests / "test_it.py").write_text("\n".join(("import pytest", *lines)))

    result = run(str(tmp_path / "scripts" / "run_unit_tests.sh"))

    assert result.returncode == 1
    assert last_line(result).startswith("unit: 1 passed, 1 failed, 0 skipped: exit 1 in ")


def test_the_shell_is_clean() -> None:
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not installed")
    scripts = [*(ROOT / "scripts").glob("*.sh"), ROOT / ".ci" / "run"]

    result = subprocess.run(
        ["shellcheck", *scripts], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert result.stdout == ""
