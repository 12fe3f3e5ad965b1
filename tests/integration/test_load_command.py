"""`poolproof load`, as its users run it, on pools of real processes."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from poolproof.cli import main
from tests.integration.commands import Command, until

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("sigterm_kept", "unmeasured")]

POOL = "multiprocessing.Pool"


def loaded(tmp_path: Path, *options: str, target: str = POOL) -> tuple[int, Any]:
    file = tmp_path / "load.json"
    code = main(["load", target, "--seed", "8", "--json", str(file), *options])
    return code, json.loads(file.read_bytes())


def test_an_open_load_shows_a_stall_that_a_closed_loop_hides_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, (opened, closed) = loaded(
        tmp_path,
        *("--rate", "100", "--for", "2500ms", "--fault", "freeze-all@1s+800ms"),
        *("--beside", "1", "--slo", "p90<100ms"),
    )
    shown = capsys.readouterr().out

    assert code in {1, 3}  # void, should this machine keep the generator from its processor
    assert opened["latency"]["p90"] > 400
    assert opened["latency"]["longest"] > 700
    assert closed["loop"] == "closed"
    assert closed["latency"]["p90"] < opened["latency"]["p90"] / 2
    assert opened["planned"] == opened["answered"] + opened["failed"] + opened["unanswered"]
    assert "coordinated omission" in shown
    assert [curve["fault"] for curve in opened["curves"]] == ["freeze-all"]
    assert {row["live"] for row in opened["series"] if "live" in row} == {2}
    assert len(opened["workers"]) == 2
    assert {len(row["workers"]) for row in opened["series"] if "workers" in row} == {2}


def test_a_load_is_ended_when_a_bound_is_certainly_broken(tmp_path: Path) -> None:
    code, result = loaded(
        tmp_path,
        *("--rate", "200", "--for", "60s", "--mix", "noop=1,fail=1"),
        *("--slo", "errors<1%", "--abort-on-breach"),
        target="poolproof.stack:mock",
    )

    assert code in {1, 3}
    assert result["aborted"]
    assert result["seconds"] < 30
    assert "PlannedError" in result["errors"]


def test_what_was_measured_until_it_was_interrupted_is_told_and_kept(tmp_path: Path) -> None:
    options = ["--rate", "200", "--for", "900s", "--seed", "8", "--json", "load.json"]
    (tmp_path / "leases").mkdir()
    command = Command(
        *("load", POOL, *options), cwd=tmp_path, XDG_RUNTIME_DIR=str(tmp_path / "leases")
    )
    until(lambda: any(rows.stat().st_size > 3200 for rows in tmp_path.glob("leases/**/rows")))

    command.signal(signal.SIGINT)
    ended = command.end()

    result = json.loads((tmp_path / "load.json").read_bytes())
    assert (ended.code, ended.left) == (130, [])
    assert result["reasons"] == ["it was interrupted: 900 s were planned"]
    assert "VOID    it was interrupted" in ended.out
    assert result["sent"] >= result["answered"] >= 100
    assert result["seconds"] < 300
    assert len(result["series"]) <= result["seconds"] + 1


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--fault", "meteor@1s"], "expected a fault such as kill-busy@5s"),
        (["--slo", "p99<fast"], "expected a bound such as p99<100ms"),
        (["--rate", "0"], "expected a rate and a time above 0"),
        (["--closed", "1", "--beside", "1"], "expected --closed or --beside, got both"),
        (["--plot", "/dev/null/no.png"], "can be written for --plot"),
        (["--mix", "own", "--for", "1s"], "jobs of its own for the operation own"),
        (["--sessions", "2", "--for", "1s"], "a pool whose submit takes session="),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    options: list[str], match: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["load", POOL, *options]) == 2

    assert match in capsys.readouterr().err.splitlines()[-1]
