"""`poolproof scenario`, interrupted: it ends at once, and what it has played is told and kept."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.integration.commands import Command

pytestmark = pytest.mark.integration


@pytest.mark.parametrize(
    ("layer", "number", "code"), [("full", signal.SIGINT, 130), ("mock", signal.SIGTERM, 143)]
)
def test_an_interrupted_one_keeps_what_it_has_played(
    layer: str, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    pace = ["--pace", "0.01"] if layer == "full" else []
    options = ["--layer", layer, "--times", "9999", "--seed", "3", "--json", "told.json", *pace]
    command = Command("scenario", "kill_60_percent", *options, cwd=tmp_path)
    shown = command.process.stdout
    assert shown is not None
    while "(2 of 9999" not in shown.readline():
        assert command.process.poll() is None

    command.signal(number)
    ended = command.end()

    plays: list[Any] = json.loads((tmp_path / "told.json").read_bytes())
    assert (ended.code, ended.left, "Traceback" in ended.err) == (code, [], False)
    assert [one["seed"] for one in plays] == [3 + n for n in range(len(plays))]
    assert 2 <= len(plays) < 9999
    assert f"{len(plays)} curves" in ended.out
